"""Reads JSON bodies, and checks them against the contract's models. Every error names its field by a dotted path.

JSON is taken literally, as the API server takes YAML: no unknown field, and no text for a number.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, from_json, to_json
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from darkroom_gateway.errors import FieldError, InvalidRequestError, TooLargeError, invalid_request
from darkroom_gateway.http.problems import MAX_FIELD_ERRORS
from darkroom_gateway.http.similar_names import similar_name
from darkroom_gateway.pattern_advice import PATTERN_ADVICE

BODY = "body"
MAX_JSON_BYTES = 1024**2
"""Far more than a spec may have (`train_job.MAX_SPEC_BYTES`), white space and escapes included."""
MAX_JSON_VALUES = 3000
"""In one body, at any depth: twice as many as an upload of all files has. To check one takes up to 0.1 ms."""
MAX_GIVEN_CHARACTERS = 200

Json = dict[str, Any]
Place = tuple[str | int, ...]
"""Names of fields and numbers of entries, from the document down."""
_NO_SUCH_FIELD = "Remove it or correct its name: there is no such field."
Model = TypeVar("Model", bound=BaseModel)


def is_json(request: Request) -> bool:
    """Whether the body is announced as JSON."""
    kind, _ = parse_options_header(request.headers.get("content-type"))
    return kind.lower() == b"application/json"


async def read_object(request: Request) -> Json:
    """The JSON object of the body. Raises `InvalidRequestError` or `TooLargeError`."""
    if not is_json(request):
        given = request.headers.get("content-type", "no Content-Type")
        raise body_error("Send a JSON object with Content-Type: application/json.", given)
    content = bytearray()
    async for block in request.stream():
        content += block
        if len(content) > MAX_JSON_BYTES:
            raise TooLargeError(f"Send at most {MAX_JSON_BYTES // 1024} KiB of JSON.")
    return parse_object(bytes(content), BODY)


def parse_object(content: bytes, name: str) -> Json:
    """A JSON object. `name` is the body or its part, for errors. Raises `InvalidRequestError`."""
    content = content.removeprefix(codecs.BOM_UTF8)  # Some editors write one.
    try:
        # Refuses NaN, infinity and lone surrogates, which no JSON has.
        found = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise _error(name, f"Send valid JSON: {error}.", content.decode(errors="replace")) from None
    if not isinstance(found, dict):
        raise _error(name, "Send a JSON object, in braces.", content.decode(errors="replace"))
    if _has_too_many_values(found):
        raise _error(name, f"Send at most {MAX_JSON_VALUES} values: the JSON has more.", None)
    if (repeated := _repeated_name(content)) is not None:
        message = "Give each field once: of two with the same name one would be ignored."
        raise _error(_printable(repeated), message, None)
    return found


def _has_too_many_values(document: Json) -> bool:
    """Counts the values at all depths, and stops at the bound."""
    count, unseen = 0, [document]
    while unseen and count <= MAX_JSON_VALUES:
        values: Any = unseen.pop()
        count += len(values)
        unseen += [each for each in (values.values() if isinstance(values, dict) else values) if _is_nested(each)]
    return count > MAX_JSON_VALUES


def _is_nested(value: object) -> bool:
    return isinstance(value, dict | list)


def _repeated_name(content: bytes) -> str | None:
    """A field that an object of valid JSON has twice."""
    found: list[str] = []

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len(pairs) > len({name for name, _ in pairs}):
            found.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)

    json.loads(content, object_pairs_hook=check)
    return found[0] if found else None


def parse_model(model: type[Model], document: Json) -> Model:
    """Raises `InvalidRequestError` with an error for each field that is unknown or has an unusable value."""
    too_long = list(_too_long(model, document, ()))
    document = _cut(document, too_long)
    faults = {dotted(each.place): each.fault() for each in too_long}
    faults |= {each.parameter: each for each in _unknown_fields(model, document)}
    try:
        found = model.model_validate_json(to_json(document), strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False):
            field_error = _field_error(each)
            faults.setdefault(field_error.parameter, field_error)
        raise invalid_request(faults.values()) from None
    if faults:
        raise invalid_request(faults.values())
    return found


def body_error(message: str, given: str | None = None) -> InvalidRequestError:
    return _error(BODY, message, given)


def _error(name: str, message: str, given: str | None) -> InvalidRequestError:
    shown = None if given is None else given[:MAX_GIVEN_CHARACTERS]
    return invalid_request([FieldError(name, message, shown)])


def _field_error(error: ErrorDetails) -> FieldError:
    path = dotted(error["loc"]) or BODY
    if error["type"] == "missing":
        return FieldError(path, "Add this field: it is required.")
    given = _shown(error["input"])
    if error["type"] == "string_pattern_mismatch":
        return FieldError(path, PATTERN_ADVICE.get(error["ctx"]["pattern"], f"{error['msg']}."), given)
    return FieldError(path, f"{error['msg']}.", given)


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

    def fault(self) -> FieldError:
        return FieldError(dotted(self.place), f"Send at most {self.most} entries: there are {self.count}.")


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


def _unknown_fields(model: type[BaseModel], document: Json) -> Iterator[FieldError]:
    """An error for each field that its object does not have, at any depth."""
    for number, each in enumerate(_unknown_in_model(model, document, "")):
        # Only the first errors are in the response.
        advice = _advice(each.name, each.known) if number < MAX_FIELD_ERRORS else _NO_SUCH_FIELD
        yield FieldError(_printable(each.path), advice, _shown(each.value))


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


def _advice(name: str, fields: Mapping[str, object]) -> str:
    camel = to_camel(name) if len(name) <= MAX_GIVEN_CHARACTERS else name
    similar = camel if camel in fields else similar_name(name, fields)
    return _NO_SUCH_FIELD if similar is None else f"{_NO_SUCH_FIELD} Did you mean {similar}?"


def _printable(path: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", path[:MAX_GIVEN_CHARACTERS])
