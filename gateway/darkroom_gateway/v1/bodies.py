"""Reads JSON bodies, and checks them against the contract's models. Every error names its field by a dotted path.

JSON is taken literally, as the API server takes YAML: no unknown field, and no text for a number.
"""

import codecs
import json
from collections import Counter
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from darkroom_contract.json_documents import (
    MAX_GIVEN_CHARACTERS,
    DocumentInvalidError,
    Json,
    parse_document,
    printable_path,
)
from darkroom_gateway.errors import FieldError, InvalidRequestError, TooLargeError, invalid_request

BODY = "body"
MAX_JSON_BYTES = 1024**2
"""Far more than a spec may have (`train_job.MAX_SPEC_BYTES`), white space and escapes included."""
MAX_JSON_VALUES = 3000
"""In one body, at any depth: twice as many as an upload of all files has. To check one takes up to 0.1 ms."""

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
        raise _error(printable_path(repeated), message, None)
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
    try:
        return parse_document(model, document)
    except DocumentInvalidError as error:
        faults = (FieldError(each.field or BODY, each.message, each.given) for each in error.faults)
        raise invalid_request(faults) from None


def body_error(message: str, given: str | None = None) -> InvalidRequestError:
    return _error(BODY, message, given)


def _error(name: str, message: str, given: str | None) -> InvalidRequestError:
    shown = None if given is None else given[:MAX_GIVEN_CHARACTERS]
    return invalid_request([FieldError(name, message, shown)])
