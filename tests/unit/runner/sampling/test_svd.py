"""Frames of clips: size, number, and the effect of each setting."""

from typing import Any

import pytest
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.sampling.svd import clip_size, generate_frames


def spec_of(**video: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", "allowMotion": True, "video": {"steps": 2, **video}})


IMAGE = Image.radial_gradient("L").convert("RGB").resize((96, 96))


def frames_of(pipeline: Any, **video: Any) -> list[Image.Image]:
    return generate_frames(pipeline, IMAGE, spec_of(**video), lambda step, total: None)


@pytest.mark.parametrize(
    ("image", "clip"),
    [((64, 64), (64, 64)), ((512, 512), (64, 64)), ((1024, 512), (96, 48)), ((100, 300), (32, 112))],
)
def test_a_clip_has_the_image_s_aspect_ratio_and_the_model_s_number_of_pixels(
    svd: Any, image: tuple[int, int], clip: tuple[int, int]
) -> None:
    assert clip_size(svd, image) == clip


def test_the_number_of_frames_defaults_to_the_model_s_own(svd: Any) -> None:
    assert len(frames_of(svd)) == 4
    assert len(frames_of(svd, frames=6, decodeChunkSize=2)) == 6


@pytest.mark.parametrize(
    "setting",
    [
        {"fps": 20},
        {"motionBucketId": 1},
        {"noiseAugStrength": 0.5},
        {"seed": 1},
        {"steps": 3},
        {"maxGuidanceScale": 9.0},
        {"minGuidanceScale": 2.0},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_every_setting_has_an_effect(svd: Any, setting: dict[str, Any]) -> None:
    plain, changed = frames_of(svd), frames_of(svd, **setting)

    assert [frame.tobytes() for frame in plain] != [frame.tobytes() for frame in changed]
