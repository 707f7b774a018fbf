"""Types of options that are fields of a spec: they refuse what the contract refuses, before anything is sent.

Called by submission_options.py. The contract is imported when a value is read: `--help` should not wait for pydantic.
"""

import math
import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from darkroom_client.cli.names import model_reference

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class SpecNumber:
    """A number within the bounds of a field of `train` or `generate`, such as images.guidance_scale."""

    command: str
    path: str

    def __call__(self, text: str) -> int | float:
        found = _field(self.command, self.path)
        whole, step = int in _alternatives(found), _bound(found, "multiple_of")
        value = _number(text, whole=whole)
        low, high = _bound(found, "ge"), _bound(found, "le")
        if value is None or not low <= value <= high or (step and value % step):
            kind = f"multiple of {step}" if step else "whole number" if whole else "number"
            raise ArgumentTypeError(f"{text!r} is not a {kind} from {_plain(low)} to {_plain(high)}")
        return value


PRIORITY = SpecNumber("train", "priority")
"""Of both kinds of jobs."""


def size(text: str) -> tuple[int, int]:
    """Such as 1024x768."""
    found = [_field("generate", f"images.{side}") for side in ("width", "height")]
    step, low, high = (_bound(found[0], name) for name in ("multiple_of", "ge", "le"))
    width, height = (_number(side, whole=True) for side in text.lower().partition("x")[::2])
    if not all(side is not None and low <= side <= high and side % step == 0 for side in (width, height)):
        raise ArgumentTypeError(
            f"{text!r} is not a size such as 1024x768, of two multiples of {step} from {low} to {high}"
        )
    return int(width or 0), int(height or 0)


def scheduler(text: str) -> str:
    """In any case."""
    from darkroom_contract.specs.images import Scheduler

    found = next((each for each in Scheduler if each.lower() == text.lower()), None)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(Scheduler)}")
    return str(found)


def lora(text: str) -> tuple[str, int | float | None]:
    """A model with its strength: my-dog, my-dog@200 or my-dog:0.8."""
    name, separator, scale = text.rpartition(":")
    if not separator:
        return model_reference(text), None
    model = model_reference(name)
    try:
        return model, SpecNumber("generate", "loras.scale")(scale)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"in {text!r}, {error}. Write a model with its strength, such as my-dog:0.8") from None


def _field(command: str, path: str) -> "FieldInfo":
    from darkroom_contract.specs.generate_job import GenerateJobSpec
    from darkroom_contract.specs.train_job import TrainJobSpec

    model: Any = {"train": TrainJobSpec, "generate": GenerateJobSpec}[command]
    *parents, name = path.split(".")
    for each in parents:
        model = next(kind for kind in _alternatives(model.model_fields[each]) if hasattr(kind, "model_fields"))
    found: FieldInfo = model.model_fields[name]
    return found


def _alternatives(field: "FieldInfo") -> tuple[Any, ...]:
    """The types of a field: two for one that may be None."""
    return get_args(field.annotation) or (field.annotation,)


def _bound(field: "FieldInfo", name: str) -> Any:
    """`ge`, `le` or `multiple_of`; None without it."""
    return next((getattr(each, name) for each in field.metadata if hasattr(each, name)), None)


def _number(text: str, *, whole: bool) -> int | float | None:
    """As it was typed: 200 stays a whole number. None for what is no finite number."""
    if re.fullmatch(r"[+-]?[0-9]{1,30}", text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return None if whole or not math.isfinite(value) else value


def _plain(bound: int | float) -> str:
    """Without an exponent."""
    return f"{bound:.10f}".rstrip("0").rstrip(".")
