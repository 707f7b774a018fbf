"""Rejection of parameters without effect, and a table of similar combinations that are accepted."""

from typing import Any

import pytest

from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.generation.parameters import GenerateParameters, LoraParameters, generate_spec
from darkroom_gateway.generation.unused_parameters import reject_unused_parameters


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
        {"cache_branch": 1},
        {"cache_interval": 2, "cache_branch": 1},
        {"allow_motion": True, "frames": 10, "fps": 5},
        {"allow_motion": True, "min_guidance_scale": 5, "max_guidance_scale": 3},
        {"allow_motion": True, "min_guidance_scale": 1, "max_guidance_scale": 1},
        {"allow_motion": True, "max_guidance_scale": 0.5},
    ],
)
def test_effective_combinations_are_accepted(given: dict[str, Any]) -> None:
    check(GenerateParameters(prompt="a dog", **given))


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
