"""The small SVD animates its input picture, and the subject keeps shape and colour."""

from itertools import pairwise
from typing import Any

import pytest
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import find_device
from darkroom_runner.models.pretrained import PretrainedModel, load_pipeline
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.svd import generate_frames
from darkroom_tiny import scene_detector

SPEC = GenerateJobSpec.from_dict({"prompt": "a blue heart on a sand background", "allowMotion": True})


def nobody_watches(step: int, total: int) -> None:
    """Ignores progress."""


@pytest.fixture(scope="module")
def picture(sdxl: Any) -> Image.Image:
    return generate_image(sdxl, SPEC, 0, nobody_watches)


@pytest.fixture(scope="module")
def frames(svd_model: PretrainedModel, picture: Image.Image) -> list[Image.Image]:
    device = find_device()
    pipeline = load_pipeline(svd_model, device.inference_dtype, device.torch_device)
    return generate_frames(pipeline, picture, SPEC, nobody_watches)


def test_a_clip_has_frames_of_the_picture_s_size(frames: list[Image.Image]) -> None:
    assert len(frames) >= 6
    assert {frame.size for frame in frames} == {(128, 128)}


def test_clip_starts_with_the_picture(frames: list[Image.Image], picture: Image.Image) -> None:
    assert scene_detector.difference(frames[0], picture) < 8


def test_every_frame_differs_from_the_one_before(frames: list[Image.Image]) -> None:
    assert all(scene_detector.difference(before, after) > 1 for before, after in pairwise(frames))


def test_distance_from_the_picture_grows_with_time(frames: list[Image.Image], picture: Image.Image) -> None:
    assert scene_detector.difference(frames[-1], picture) > 2 * scene_detector.difference(frames[1], picture)


def test_the_subject_keeps_shape_and_colour_in_most_frames(frames: list[Image.Image], picture: Image.Image) -> None:
    shown = scene_detector.read(picture)
    assert shown is not None
    readings = [scene_detector.read(frame) for frame in frames]
    kept = [seen is not None and (seen.shape, seen.colour) == (shown.shape, shown.colour) for seen in readings]
    assert sum(kept) > 0.75 * len(frames)
