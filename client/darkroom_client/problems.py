"""Errors of answers. Pure.

Called by both clients for every answer that is not a success.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from darkroom_client import errors

MAX_QUOTED_CHARACTERS = 200

_BY_STATUS: dict[int, type[errors.GatewayError]] = {
    401: errors.UnauthorizedError,
    403: errors.UnauthorizedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    429: errors.TooManyRequestsError,
}


@dataclass(frozen=True)
class RawAnswer:
    """What came back over HTTP. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def error_of(answer: RawAnswer) -> errors.GatewayError:
    """The error that a failed answer describes. Proxies answer without problem details: those are quoted."""
    problem = _document(answer)
    reason = str(problem.get("type", "")).rpartition(":")[2] or _phrase(answer.status).replace(" ", "")
    found = _BY_STATUS.get(
        answer.status, errors.GatewayUnavailableError if answer.status >= 500 else errors.InvalidRequestError
    )
    return found(
        answer.status,
        reason,
        str(problem.get("detail") or _quoted(answer)),
        _field_problems(problem.get("errors")),
        advice=_text_or_none(problem.get("advice")),
        retry_after_seconds=retry_after_seconds(answer.headers),
        request_id=answer.headers.get("x-request-id"),
    )


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """`Retry-After`: seconds, or a date (RFC 9110). None when it is absent or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _document(answer: RawAnswer) -> dict[str, Any]:
    try:
        document = json.loads(answer.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _field_problems(found: Any) -> list[errors.FieldProblem]:
    """Other servers have members of these names in other forms, which are left out."""
    return [_field_problem(each) for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _field_problem(error: Mapping[str, Any]) -> errors.FieldProblem:
    given = _text_or_none(error.get("given"))
    return errors.FieldProblem(str(error.get("parameter", "")), str(error.get("message", "")), given)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _quoted(answer: RawAnswer) -> str:
    text = " ".join(answer.content.decode("utf-8", "replace").split())[:MAX_QUOTED_CHARACTERS]
    return f"The answer was {answer.status} {_phrase(answer.status)}{f': {text}' if text else '.'}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Status"
