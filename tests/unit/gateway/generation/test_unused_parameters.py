"""Rejection of parameters without effect, and a table of similar combinations that are accepted."""

from typing import Any

import pytest

from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.generation.parameters import GenerateParameters, LoraParameters, generate_spec
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters

URI = "s3://darkroom/images/default/x/image.png"


def check(parameters: GenerateParameters) -> None:
    reject_unused_parameters(parameters, generate_spec(parameters))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"guidance_scale": 1},
        {"guidance_scale": 1, "negative_prompt": ""},
        {"guidance_scale": 1.5, "negative_prompt": "a cat"},
        {"cache_profile": "Disabled"},
        {"cache_policy": "DeepCache", "cache_branch": 1},
        {"cache_branch": 0},
        {"cache_branch": 1},
        {"cache_policy": "DeepCache", "cache_interval": 3},
        {"cache_policy": "FirstBlock", "cache_threshold": 0.1},
        {"cache_threshold": 0.1, "cache_reuse_guidance": False},
        {"format": "WebP", "quality": 50},
        {"count": 2, "grid": True},
        {"grid": False},
        {"preview_steps": 30},
        {"steps": 4},
        {"upscale_factor": 1.5, "upscale_steps": 5},
        {"cache_interval": 2, "cache_branch": 1},
        {"allow_motion": True, "frames": 10, "fps": 5},
        {"allow_motion": True, "min_guidance_scale": 5, "max_guidance_scale": 3},
        {"allow_motion": True, "min_guidance_scale": 1, "max_guidance_scale": 1},
        {"allow_motion": True, "max_guidance_scale": 0.5},
    ],
)
def test_effective_combinations_are_accepted(given: dict[str, Any]) -> None:
    check(GenerateParameters(prompt="a dog", **given))


IMAGE, MASK, CLIP = ImageRole.IMAGE, ImageRole.MASK, ImageRole.VIDEO_IMAGE


@pytest.mark.parametrize(
    ("given", "roles"),
    [
        ({"strength": 0.5, "image_fit": "Pad"}, (IMAGE,)),
        ({"mask_blur": 0, "mask_invert": True, "strength": 1}, (IMAGE, MASK)),
        ({"allow_motion": True}, (CLIP,)),
        ({"allow_motion": True, "count": 0, "preview_steps": 20}, (CLIP,)),
    ],
)
def test_effective_pictures_are_accepted(given: dict[str, Any], roles: tuple[ImageRole, ...]) -> None:
    parameters = GenerateParameters(prompt="a dog", **given)
    reject_unused_parameters(parameters, generate_spec(parameters, dict.fromkeys(roles, URI)))


@pytest.mark.parametrize(
    ("given", "roles", "ignored"),
    [
        ({"quality": 50}, (), {"quality"}),
        ({"quality": 90, "format": "PNG"}, (), {"quality"}),
        ({"grid": True}, (), {"grid"}),
        ({"steps": 4, "preview_steps": 5}, (), {"preview_steps"}),
        ({"strength": 0.5, "image_fit": "Pad"}, (), {"strength", "image_fit"}),
        ({"mask_blur": 4, "mask_invert": False}, (IMAGE,), {"mask_blur", "mask_invert"}),
        ({}, (MASK,), {"mask"}),
        ({"mask_uri": URI}, (MASK,), {"mask_uri"}),
        ({}, (CLIP,), {"video_image"}),
        ({"video_image_uri": URI}, (CLIP,), {"video_image_uri"}),
        ({"upscale_strength": 0.5, "upscale_steps": 5}, (), {"upscale_strength", "upscale_steps"}),
        ({"count": 0}, (), {"count"}),
        ({"count": 0, "allow_motion": True}, (), {"count"}),
        ({"count": 0, "allow_motion": True, "steps": 5, "seed": 1}, (CLIP,), {"steps", "seed"}),
        ({"count": 0, "allow_motion": True, "image_uri": URI}, (CLIP, IMAGE), {"image_uri"}),
        ({"cache_branch": 1, "cache_threshold": 0.1}, (), {"cache_threshold"}),
        ({"cache_policy": "Adaptive", "cache_branch": 1}, (), {"cache_policy"}),
        ({"cache_policy": "Interval", "cache_threshold": 0.1}, (), {"cache_threshold"}),
        ({"cache_interval": 3, "cache_threshold": 0.1}, (), {"cache_threshold"}),
        ({"cache_profile": "Fast", "cache_threshold": 0.1}, (), {"cache_profile"}),
        ({"cache_policy": "FirstBlock", "cache_reuse_guidance": False}, (), {"cache_reuse_guidance"}),
        ({"cache_policy": "Adaptive", "cache_interval": 3}, (), {"cache_policy"}),
        ({"cache_profile": "Disabled", "cache_policy": "FirstBlock"}, (), {"cache_policy"}),
    ],
)
def test_parameters_without_effect_are_rejected(
    given: dict[str, Any], roles: tuple[ImageRole, ...], ignored: set[str]
) -> None:
    parameters = GenerateParameters(prompt="a dog", **given)

    with pytest.raises(InvalidRequestError) as raised:
        reject_unused_parameters(parameters, generate_spec(parameters, dict.fromkeys(roles, URI)))

    assert {each.parameter for each in raised.value.field_errors} == ignored


def test_lora_scale_is_accepted() -> None:
    check(LoraParameters(prompt="a dog", model_id="dog", lora_scale=0.0))


def test_each_parameter_without_effect_is_named_with_its_value() -> None:
    parameters = GenerateParameters(
        prompt="a dog", negative_prompt="a cat", guidance_scale=0.5, frames=10, cache_profile="Fast", cache_interval=1
    )

    with pytest.raises(InvalidRequestError) as raised:
        check(parameters)

    assert {each.parameter: each.given for each in raised.value.field_errors} == {
        "frames": "10",
        "negative_prompt": "a cat",
        "cache_profile": "Fast",
    }
