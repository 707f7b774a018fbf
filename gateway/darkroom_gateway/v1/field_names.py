"""Translates the parameters of the query forms into fields of a spec, and back. Pure.

Submissions with a JSON spec pass the same checks as those with parameters. Errors of these checks name parameters;
`in_fields` renames them, so that a client of `/v1` reads of `training.rank` and not of `rank`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from darkroom_contract.names import Kind
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.errors import FieldError, GatewayError
from darkroom_gateway.generation import parameters as of_generations
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.generation.parameters import GenerateParameters
from darkroom_gateway.jobs.submission import Spec
from darkroom_gateway.training import parameters as of_trainings
from darkroom_gateway.training.parameters import TrainParameters

Paths = Mapping[str, str]
"""The field of each parameter, as a dotted path in snake_case."""

Parameters = TypeVar("Parameters", bound=BaseModel)

ROLE_PATHS = {ImageRole.IMAGE: "start_image", ImageRole.MASK: "mask", ImageRole.VIDEO_IMAGE: "video.start_image"}


def _below(parent: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{parent}.{field}" for name, field in fields.items()}


TRAIN_PATHS: Paths = {
    **{name: name for name in TrainParameters.model_fields if name in TrainJobSpec.model_fields},
    **_below("training", of_trainings.TRAINING_FIELDS),
    **_below("training.prior_preservation", of_trainings.PRIOR_FIELDS),
    "dataset_uri": "dataset.uri",
    "class_dataset_uri": "training.prior_preservation.dataset.uri",
    "initial_lora": "training.initial_lora",
    "masked_loss": "training.masked_loss",
    "unmasked_weight": "training.masked_loss.unmasked_weight",
}
GENERATE_PATHS: Paths = {
    **{name: name for name in GenerateParameters.model_fields if name in GenerateJobSpec.model_fields},
    "model_id": "model_id",
    "lora_scale": "lora_scale",
    "lora": "loras",
    **_below("images", of_generations.IMAGES_FIELDS),
    **_below("cache", of_generations.CACHE_FIELDS),
    **_below("upscale", of_generations.UPSCALE_FIELDS),
    **_below("start_image", of_generations.START_IMAGE_FIELDS),
    **_below("mask", of_generations.MASK_FIELDS),
    **_below("video", of_generations.VIDEO_PARAMETERS),
    **{name: f"{path}.uri" for role, path in ROLE_PATHS.items() for name in (role.value, *role.parameters)},
}
PATHS = {Kind.TRAIN: TRAIN_PATHS, Kind.GENERATE: GENERATE_PATHS}

_OBJECTS = frozenset({"masked_loss"})
"""Parameters that are true where the spec has an object, whose fields have defaults."""

_LORA_SCALE = "Leave it out, and set the scale of each of loras: it belongs to modelId."


def in_yaml(path: str) -> str:
    """A path as YAML and JSON have it: `training.saveSteps`."""
    return ".".join(map(to_camel, path.split(".")))


def parameters_of(spec: Spec, model: type[Parameters], paths: Paths) -> Parameters:
    """The parameters that would make this spec. Set are those that differ from their default: a client that
    sends the spec of a job again sends all defaults too."""
    values = {name: value for name, path in paths.items() if (value := _changed(spec, path)) is not None}
    return model.model_construct(_fields_set=set(values), **values)


def _changed(spec: BaseModel, path: str) -> Any:
    """The value of a field that is set to something else than its default; None otherwise."""
    model: Any = spec
    *parents, name = path.split(".")
    for each in parents:
        model = getattr(model, each, None)
        if model is None:
            return None
    if name not in model.model_fields_set:
        return None
    value = getattr(model, name)
    return None if value == type(model).model_fields[name].get_default(call_default_factory=True) else value


@contextmanager
def in_fields(kind: Kind) -> Iterator[None]:
    """Renames the parameters that errors name into the fields of this kind's spec."""
    try:
        yield
    except GatewayError as error:
        _rename(error, PATHS[kind])
        raise


def _rename(error: GatewayError, paths: Paths) -> None:
    before = error.field_errors
    error.field_errors = tuple(_renamed(each, paths) for each in before)
    detail = str(error)
    for old, new in zip(before, error.field_errors, strict=True):
        detail = detail.replace(f"{old.parameter}: {old.message}", f"{new.parameter}: {new.message}")
        detail = detail.replace(old.message, new.message)
    error.args = (detail,)


def _renamed(error: FieldError, paths: Paths) -> FieldError:
    if error.parameter == "lora_scale" and "lora=" in error.message:
        return FieldError("loraScale", _LORA_SCALE, error.given)
    # The API server names fields below the resource.
    name = error.parameter.removeprefix("spec.")
    parameter = in_yaml(paths[name]) if name in paths else name
    return FieldError(parameter, text_in_fields(error.message, paths), error.given)


def text_in_fields(text: str, paths: Paths) -> str:
    """A message with fields instead of parameters. Only names with an underscore are certain to be parameters."""
    for role, path in ROLE_PATHS.items():
        ways = f"with {role.url_parameter}, {role.task_parameter} or {role.uri_parameter}"
        text = text.replace(ways, f"set {in_yaml(path)}.uri")
    names = "|".join(sorted((name for name in paths if "_" in name), key=len, reverse=True))

    def rename(found: re.Match[str]) -> str:
        field = in_yaml(paths[found[1]])
        value = "{}" if found[1] in _OBJECTS else found[2]
        return field if found[2] is None else f"{field}: {value}"

    return re.sub(rf"(?<![\w.])({names})(?:=([\w.]+\b))?(?!\w)", rename, text)
