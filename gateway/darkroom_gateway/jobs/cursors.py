"""Pagination cursors of job lists. Pure.

A cursor contains the position of the last job of a page instead of an offset, so jobs that are created or deleted
between two pages cause neither duplicates nor gaps.
"""

import base64
import binascii
import re

from darkroom_gateway.errors import FieldError, InvalidRequestError
from darkroom_gateway.jobs.stored_job import Position

CURSOR_PATTERN = r"^[A-Za-z0-9_-]{1,200}$"

_TEXT = re.compile(r"1\.([0-9]{1,12})\.([01])\.([0-9]{1,20})\.([A-Za-z0-9-]{1,64})")
"""The leading 1 is the version of the format."""

ADVICE = "Use the next_cursor of the previous page unchanged, or leave it out for the first page."


def write_cursor(position: Position) -> str:
    text = ".".join(map(str, (1, *position)))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> Position:
    """Raises `InvalidRequestError` for an invalid cursor."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        text = ""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise InvalidRequestError(f"cursor: {ADVICE}", (FieldError("cursor", ADVICE, cursor),))
    created, rank, order, uid = found.groups()
    return int(created), int(rank), int(order), uid
