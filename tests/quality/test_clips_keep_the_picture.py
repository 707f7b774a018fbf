"""The last frame of a clip still shows its first: background, subject and sharpness of 20 clips, by their pixels.

The pictures are drawn, so that the content of the first frame is known. Settings are the defaults of a job.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import find_device
from darkroom_runner.models.pretrained import PretrainedModel, load_pipeline
from darkroom_runner.sampling.svd import generate_frames
from darkroom_tiny import scene_detector
from darkroom_tiny.draw import SUBJECT, Scene, draw, scenes

CLIPS = 20
FRAME_PX = 5
"""Width of the picture's edge, which shows only background."""

# Twenty clips take some minutes on a busy machine.
pytestmark = pytest.mark.timeout(1800)

KNOWN_DEFECT = pytest.mark.xfail(
    raises=AssertionError,
    strict=True,
    reason="darkroom-tiny-svd is undertrained: its last frames dissolve at the default motion and guidance. Of 6 clips "
    "without cache 2 kept the subject at maxGuidanceScale 3, and 5 at 1. Remove this mark with better weights.",
)


def start_scenes() -> list[Scene]:
    """The subject of the demo, and combinations of which some are excluded from training."""
    return [replace(SUBJECT, background="olive"), *scenes(count=CLIPS - 1, seed=5)]


@pytest.fixture(scope="module", params=["Disabled", "Balanced"])
def clips(request: pytest.FixtureRequest, svd_model: PretrainedModel) -> list[list[Image.Image]]:
    """20 clips without and with the cache."""
    device = find_device()
    pipeline = load_pipeline(svd_model, device.inference_dtype, device.torch_device)
    spec = GenerateJobSpec.from_dict({"prompt": "p", "allowMotion": True, "cache": {"profile": request.param}})
    return [generate_frames(pipeline, draw(scene), spec, lambda step, total: None) for scene in start_scenes()]


def edge_pixels(frame: Image.Image) -> Any:
    pixels = np.asarray(frame.convert("RGB"), dtype=np.float32)
    inside = np.ones(pixels.shape[:2], dtype=bool)
    inside[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = False
    return pixels[inside]


def background_change(clip: list[Image.Image]) -> float:
    """Mean RGB distance of the last frame's edge from the first frame's background colour."""
    background = np.median(edge_pixels(clip[0]), axis=0)
    return float(np.linalg.norm(edge_pixels(clip[-1]) - background, axis=-1).mean())


def sharpness(frame: Image.Image) -> float:
    """Mean difference of neighbouring pixels."""
    pixels = np.asarray(frame.convert("RGB"), dtype=np.float32)
    return float(np.abs(np.diff(pixels, axis=0)).mean() + np.abs(np.diff(pixels, axis=1)).mean())


def test_background_and_subject_stay_until_the_last_frame(clips: list[list[Image.Image]]) -> None:
    readings = [(scene_detector.read(clip[0]), scene_detector.read(clip[-1])) for clip in clips]
    kept = [
        first is not None
        and last is not None
        and (first.shape, first.colour, first.background) == (last.shape, last.colour, last.background)
        for first, last in readings
    ]
    changes = [background_change(clip) for clip in clips]

    assert sum(kept) >= 0.9 * CLIPS
    assert np.median(changes) < 4
    assert max(changes) < 12


def test_sharpness_does_not_fall_and_no_blots_appear(clips: list[list[Image.Image]]) -> None:
    """A blurred frame has fewer and weaker edges than the first, and a frame with blots more."""
    ratios = [sharpness(clip[-1]) / sharpness(clip[0]) for clip in clips]

    assert min(ratios) > 0.8
    assert np.median(ratios) < 1.2
    assert max(ratios) < 1.4
