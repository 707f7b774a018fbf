"""Cursors: where a list of jobs goes on. Pure.

A cursor holds the position of the last job that was sent, not a number of jobs to skip: jobs that come or go between
two pages neither repeat others nor hide them.
"""

import base64
import binascii
import re

from darkroom_gateway.errors import FieldError, InvalidRequestError
from darkroom_gateway.jobs.stored_job import Position

CURSOR_PATTERN = r"^[A-Za-z0-9_-]{1,200}$"

_TEXT = re.compile(r"1\.([0-9]{1,12})\.([01])\.([0-9]{1,20})\.([A-Za-z0-9-]{1,64})")
"""The leading 1 is the version of the form."""

ADVICE = "Use next_cursor of an answer of GET /jobs as it is, or leave it out for the first page."


def write_cursor(position: Position) -> str:
    text = ".".join(map(str, (1, *position)))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Raises `InvalidRequestError` for what no answer ever held."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise InvalidRequestError(f"cursor: {ADVICE}", (FieldError("cursor", ADVICE, cursor),))
    created, rank, order, uid = found.groups()
    return int(created), int(rank), int(order), uid
