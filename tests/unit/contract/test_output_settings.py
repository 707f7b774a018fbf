"""Bounds of the settings for what a training shows and keeps, in the specs and in the CRD."""

from typing import Any

import pytest
from pydantic import ValidationError

from darkroom_contract.crd.definitions import spec_schema
from darkroom_contract.names import Kind
from darkroom_contract.specs.train_job import TrainJobSpec

NEEDED: dict[str, Any] = {"modelId": "m", "prompt": "sks", "dataset": {"uri": "s3://bucket/photos/"}}
BOUNDS = {
    "validationSteps": (0, 20000),
    "saveSteps": (0, 20000),
    "heldOutPhotos": (0, 50),
    "evaluationSteps": (1, 20000),
}


def spec(**training: Any) -> TrainJobSpec:
    return TrainJobSpec.from_dict({**NEEDED, "training": training})


@pytest.mark.parametrize("field", BOUNDS)
def test_intervals_and_counts_are_bounded(field: str) -> None:
    least, most = BOUNDS[field]
    schema = spec_schema(Kind.TRAIN)["properties"]["training"]["properties"][field]

    assert (schema["minimum"], schema["maximum"]) == (least, most)
    assert schema["description"]
    for allowed in (least, most):
        assert spec(**{field: allowed}).training.to_dict()[field] == allowed
    for refused in (least - 1, most + 1):
        with pytest.raises(ValidationError, match=field):
            spec(**{field: refused})


@pytest.mark.parametrize("prompts", [["a"] * 9, [" "], ["a" * 1001]], ids=["nine", "blank", "too long"])
def test_validation_prompts_are_bounded(prompts: list[str]) -> None:
    with pytest.raises(ValidationError, match="validationPrompts"):
        spec(validationPrompts=prompts)


def test_validation_prompts_join_the_validation_prompt_without_duplicates() -> None:
    training = spec(validationPrompt="a dog", validationPrompts=["a cat", "a dog", "a cat"]).training

    assert training.prompts_to_validate == ("a dog", "a cat")


@pytest.mark.parametrize(("steps", "every", "allowed"), [(1000, 10, True), (1000, 9, False), (50, 1, True)])
def test_a_lora_is_saved_at_most_a_hundred_times(steps: int, every: int, allowed: bool) -> None:
    contradiction = TrainJobSpec.from_dict(
        {**NEEDED, "maxSteps": steps, "training": {"saveSteps": every}}
    ).contradiction

    assert (contradiction is None) is allowed
    assert allowed or "training.saveSteps 9 saves the LoRA more than 100 times" in str(contradiction)
