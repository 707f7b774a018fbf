"""Rejects parameters of a training that contradict each other or have no effect. Called by training/service.py. Pure.

Only parameters that the request sets are rejected, even with their default value. The contract's own rule
(`TrainJobSpec.contradiction`) applies to YAML too; its messages are rewritten for parameters.
"""

import re
from collections.abc import Iterator, Mapping

from pydantic.alias_generators import to_snake

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.errors import FieldError, InvalidRequestError, invalid_request
from darkroom_gateway.training.parameters import TrainParameters

_FIELD_PATH = re.compile(r"\b(?:spec\.)?(?:training\.)?(?:[a-z][A-Za-z]*\.)*([a-z][A-Za-z]*)\b")
"""A field in a message of the contract, such as `training.saveSteps`."""

_UNSHUFFLED = "Add shuffle_tags=true, or leave it out: it has no effect unless tags are shuffled."
_UNMASKED = "Add masked_loss=true, or leave it out: it has no effect without masked loss."
_NONE_HELD_OUT = "Set held_out_photos to 1 or more, or leave it out: it has no effect without held-out photos."
_NO_PROMPT = "Add validation_prompt or validation_prompts, or leave it out: there is nothing to draw without a prompt."
_NOT_GENERATED = "Leave it or class_dataset_uri out: with your own pictures of the class none are generated."


def reject_contradictions(parameters: TrainParameters, spec: TrainJobSpec) -> None:
    """Raises `InvalidRequestError` with an error for each. `spec` is the spec of these parameters."""
    faults = dict(_without_effect(parameters.model_fields_set, spec))
    contradiction = spec.contradiction
    if contradiction is not None:
        name, message = in_parameters(contradiction)
        faults.setdefault(name, message)
    _reject(faults, parameters)


def reject_without_effect(parameters: TrainParameters, spec: TrainJobSpec) -> None:
    """`reject_contradictions` for a spec from JSON, whose contradictions the caller has rejected in its own words."""
    _reject(dict(_without_effect(parameters.model_fields_set, spec)), parameters)


def _reject(faults: Mapping[str, str], parameters: TrainParameters) -> None:
    if faults:
        raise invalid_request(FieldError(name, message, _given(parameters, name)) for name, message in faults.items())


def too_many_held_out(held_out: int, photos: int) -> InvalidRequestError:
    """An error for a dataset of `photos` photos, none of which would be left to train on."""
    advice = f"Lower it to {photos - 1}, or add photos" if photos > 1 else "Leave it out, or add photos"
    message = f"{advice}: of {photos} photo{'s' * (photos != 1)} none is left to train on."
    return invalid_request([FieldError("held_out_photos", message, str(held_out))])


def masks_without_effect() -> InvalidRequestError:
    """An error for masks in the form of a training without masked loss."""
    message = "Add masked_loss=true, or leave the masks (photo.mask.png) out: they have no effect without it."
    return invalid_request([FieldError("masked_loss", message, "false")])


def in_parameters(message: str) -> tuple[str, str]:
    """The first parameter in a message of the contract, and the message with names of parameters instead of fields.

    A message that begins with its parameter begins with "It" instead, since the answer has the name before it."""
    named: list[str] = []

    def rename(found: re.Match[str]) -> str:
        name = to_snake(found[1])
        if name not in TrainParameters.model_fields or ("." not in found[0] and name == found[1]):
            return found[0]
        named.append(name)
        return name

    renamed = _FIELD_PATH.sub(rename, message)
    if not named:
        return "training", renamed
    return named[0], re.sub(rf"^{named[0]}( [0-9][0-9.e-]*)? (?=[a-z])", "It ", renamed)


def _without_effect(given: set[str], spec: TrainJobSpec) -> Iterator[tuple[str, str]]:
    training = spec.training
    if "keep_tags" in given and not training.shuffle_tags:
        yield "keep_tags", _UNSHUFFLED
    if "unmasked_weight" in given and training.masked_loss is None:
        yield "unmasked_weight", _UNMASKED
    if "evaluation_steps" in given and not training.held_out_photos:
        yield "evaluation_steps", _NONE_HELD_OUT
    if training.validation_steps and not training.prompts_to_validate:
        yield "validation_steps", _NO_PROMPT
    if {"class_images", "class_dataset_uri"} <= given:
        yield "class_images", _NOT_GENERATED


def _given(parameters: TrainParameters, name: str) -> str | None:
    value = getattr(parameters, name, None)
    return None if value is None else str(value)
