"""Reads JSON bodies, and checks them against the contract's models. Every error names its field by a dotted path.

JSON is taken literally, as the API server takes YAML: no unknown field, and no text for a number.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, from_json, to_json
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from darkroom_gateway.errors import FieldError, InvalidRequestError, TooLargeError, invalid_request
from darkroom_gateway.http.unexpected_input import MIN_SIMILARITY
from darkroom_gateway.pattern_advice import PATTERN_ADVICE

BODY = "body"
MAX_JSON_BYTES = 1024**2
"""Far more than a spec may have (`train_job.MAX_SPEC_BYTES`), white space and escapes included."""
MAX_GIVEN_CHARACTERS = 200
MAX_FIELD_ERRORS = 20

Json = dict[str, Any]
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
    if (repeated := _repeated_name(content)) is not None:
        message = "Give each field once: of two with the same name one would be ignored."
        raise _error(_printable(repeated), message, None)
    return found


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
    # Bounded: looking for a similar name takes 0.2 ms, and a body has space for tens of thousands of fields.
    faults = {each.parameter: each for each in islice(_unknown_fields(model, document, ""), MAX_FIELD_ERRORS)}
    try:
        found = model.model_validate_json(to_json(document), strict=True)
    except ValidationError as error:
        for each in error.errors(include_url=False)[:MAX_FIELD_ERRORS]:
            field_error = _field_error(each)
            faults.setdefault(field_error.parameter, field_error)
        raise invalid_request(list(faults.values())[:MAX_FIELD_ERRORS]) from None
    if faults:
        raise invalid_request(list(faults.values())[:MAX_FIELD_ERRORS])
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


def _unknown_fields(annotation: Any, value: object, path: str) -> Iterator[FieldError]:
    """An error for each field of a JSON value that its type does not have, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if isinstance(value, dict):
            yield from _unknown_in_model(annotation, value, path)
        return
    for each in get_args(annotation):
        if isinstance(value, list):
            for number, one in enumerate(value):
                yield from _unknown_fields(each, one, f"{path}[{number}]")
        else:
            yield from _unknown_fields(each, value, path)


def _unknown_in_model(model: type[BaseModel], values: Mapping[str, object], path: str) -> Iterator[FieldError]:
    fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
    prefix = f"{path}." if path else ""
    for name, value in values.items():
        if name in fields:
            yield from _unknown_fields(fields[name], value, prefix + name)
        else:
            yield FieldError(_printable(prefix + name), _advice(name, fields), _shown(value))


def _advice(name: str, fields: Mapping[str, object]) -> str:
    camel = to_camel(name)
    similar = [camel] if camel in fields else get_close_matches(name, fields, 1, MIN_SIMILARITY)
    advice = "Remove it or correct its name: there is no such field."
    return f"{advice} Did you mean {similar[0]}?" if similar else advice


def _printable(path: str) -> str:
    return re.sub(r"[^\x20-\x7e]", "?", path)[:MAX_GIVEN_CHARACTERS]
