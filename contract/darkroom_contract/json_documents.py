"""Checks JSON documents against the contract's models, literally: no unknown field, and no text for a number. Pure.

Called by the gateway for JSON bodies, and by the command line before it sends a spec. Every fault names its field by a
dotted path.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, to_json

from darkroom_contract.pattern_advice import PATTERN_ADVICE
from darkroom_contract.similar_names import similar_name

MAX_SUGGESTIONS = 20
"""Of one document: to find a similar name takes 0.2 ms or more, and nobody reads more."""
MAX_GIVEN_CHARACTERS = 200

Json = dict[str, Any]
Place = tuple[str | int, ...]
"""Names of fields and numbers of entries, from the document down."""
_NO_SUCH_FIELD = "Remove it or correct its name: there is no such field."
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class FieldFault:
    """What is wrong with one field, and what to do."""

    field: str
    """A dotted path, such as training.rank; empty for the whole document."""
    message: str
    given: str | None = None
    may_be_newer: bool = False
    """Whether the object has no such field, nor a similar one: a later version of the model may have it."""


class DocumentInvalidError(ValueError):
    """A document that does not fit its model."""

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        super().__init__("; ".join(f"{each.field}: {each.message}" for each in faults))
        self.faults = tuple(faults)


def parse_document(model: type[Model], document: Json) -> Model:
    """Raises `DocumentInvalidError` with a fault for each field that is unknown or has an unusable value."""
    too_long = list(_too_long(model, document, ()))
    document = _cut(document, too_long)
    faults = {dotted(each.place): each.fault() for each in too_long}
    faults |= {each.field: each for each in _unknown_fields(model, document)}
    try:
        found = model.model_validate_json(to_json(document), strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            fault = _fault(each)
            faults.setdefault(fault.field, fault)
        raise DocumentInvalidError(tuple(faults.values())) from None
    if faults:
        raise DocumentInvalidError(tuple(faults.values()))
    return found


def _fault(error: ErrorDetails) -> FieldFault:
    path = dotted(error["loc"])
    if error["type"] == "missing":
        return FieldFault(path, "Add this field: it is required.")
    given = _shown(error["input"])
    if error["type"] == "string_pattern_mismatch":
        return FieldFault(path, PATTERN_ADVICE.get(error["ctx"]["pattern"], f"{error['msg']}."), given)
    return FieldFault(path, f"{error['msg']}.", given)


def dotted(path: Sequence[str | int]) -> str:
    """A path of fields, such as `concepts[0].dataset.uri`."""
    text = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return text.removeprefix(".")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else to_json(value, fallback=str).decode()
    return text[:MAX_GIVEN_CHARACTERS]


@dataclass(frozen=True)
class _TooLong:
    """A list or map with too many entries."""

    place: Place
    most: int
    count: int

    def fault(self) -> FieldFault:
        return FieldFault(dotted(self.place), f"Send at most {self.most} entries: there are {self.count}.")


def _too_long(model: type[BaseModel], values: Mapping[str, object], path: Place) -> Iterator[_TooLong]:
    """Each list and map of the model that has too many entries."""
    for name, field in model.model_fields.items():
        value = values.get(field.alias or name)
        place = (*path, field.alias or name)
        if isinstance(value, list | dict):
            most = _max_entries(field)
            if most is not None and len(value) > most:
                yield _TooLong(place, most, len(value))
            elif isinstance(value, dict):
                yield from _too_long_in(field.annotation, value, place)
            else:
                for number, one in enumerate(value):
                    yield from _too_long_in(field.annotation, one, (*place, number))


def _too_long_in(annotation: Any, value: object, path: Place) -> Iterator[_TooLong]:
    """As `_too_long`, for the model in an annotation such as `tuple[Concept, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if isinstance(value, dict):
            yield from _too_long(annotation, value, path)
        return
    for each in get_args(annotation):
        yield from _too_long_in(each, value, path)


def _max_entries(field: FieldInfo) -> int | None:
    """Of a list or a map. The same constraint of a string counts characters."""
    if not _has_entries(field.annotation):
        return None
    return next((each.max_length for each in field.metadata if hasattr(each, "max_length")), None)


def _has_entries(annotation: Any) -> bool:
    """Whether an annotation such as `tuple[Concept, ...] | None` takes a list or a map."""
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, Collection):
        return True
    return any(_has_entries(each) for each in get_args(annotation))


def _cut(document: Json, too_long: Sequence[_TooLong]) -> Json:
    """The document with as many entries as each list and map may have: pydantic checks each entry before it counts
    them."""
    if not too_long:
        return document
    shorter = deepcopy(document)
    for each in too_long:
        *path, name = each.place
        holder: Any = shorter
        for step in path:
            holder = holder[step]
        kept = islice(holder[name].items() if isinstance(holder[name], dict) else holder[name], each.most)
        holder[name] = type(holder[name])(kept)
    return shorter


@dataclass(frozen=True)
class _Unknown:
    """A field that its object does not have."""

    path: str
    name: str
    value: object
    known: Mapping[str, object]


def _unknown_fields(model: type[BaseModel], document: Json) -> Iterator[FieldFault]:
    """A fault for each field that its object does not have, at any depth."""
    for number, each in enumerate(_unknown_in_model(model, document, "")):
        similar = _similar(each.name, each.known) if number < MAX_SUGGESTIONS else None
        advice = _NO_SUCH_FIELD if similar is None else f"{_NO_SUCH_FIELD} Did you mean {similar}?"
        yield FieldFault(printable_path(each.path), advice, _shown(each.value), may_be_newer=similar is None)


def _unknown_in(annotation: Any, value: object, path: str) -> Iterator[_Unknown]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if isinstance(value, dict):
            yield from _unknown_in_model(annotation, value, path)
        return
    for each in get_args(annotation):
        if isinstance(value, list):
            for number, one in enumerate(value):
                yield from _unknown_in(each, one, f"{path}[{number}]")
        else:
            yield from _unknown_in(each, value, path)


def _unknown_in_model(model: type[BaseModel], values: Mapping[str, object], path: str) -> Iterator[_Unknown]:
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    prefix = f"{path}." if path else ""
    for name, value in values.items():
        if name in fields:
            yield from _unknown_in(fields[name], value, prefix + name)
        else:
            yield _Unknown(prefix + name, name, value, fields)


def _similar(name: str, fields: Mapping[str, object]) -> str | None:
    """The field that is probably meant."""
    camel = to_camel(name) if len(name) <= MAX_GIVEN_CHARACTERS else name
    return camel if camel in fields else similar_name(name, fields)


def printable_path(path: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", path[:MAX_GIVEN_CHARACTERS])
