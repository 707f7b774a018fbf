"""Parses the response body of a watch into changes. Used by kube/client.py."""

import json
from collections.abc import Iterator
from typing import Any

import urllib3

from darkroom_contract.names import Kind
from darkroom_gateway.errors import ClusterUnavailableError

READ_BYTES = 64 * 1024

EXPIRED = 410


class HistoryLostError(Exception):
    """The requested changes, or the rest of the list, have expired: a new list is needed."""


def changes(kind: Kind, response: urllib3.BaseHTTPResponse) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each change with its type: ADDED, MODIFIED, DELETED or BOOKMARK.

    Raises `HistoryLostError`, `ClusterUnavailableError`, and urllib3's errors when the connection breaks.
    """
    for line in _lines(response):
        yield _change(kind, line)


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The lines of the stream, as they arrive."""
    rest = b""
    while block := response.read1(READ_BYTES):
        *lines, rest = (rest + block).split(b"\n")
        yield from filter(None, lines)
    if rest:
        raise urllib3.exceptions.ProtocolError("the stream ended in the middle of a line")


def _change(kind: Kind, line: bytes) -> tuple[str, dict[str, Any]]:
    """One event of a watch. Raises `HistoryLostError` or `ClusterUnavailableError` for an ERROR event."""
    try:
        event = json.loads(line)
    except ValueError as error:
        raise ClusterUnavailableError(f"The watch of {kind.plural} sent a line that is not JSON.") from error
    if event["type"] != "ERROR":
        return event["type"], event["object"]
    status = event["object"]
    if status.get("code") == EXPIRED:
        raise HistoryLostError(status.get("message", ""))
    raise ClusterUnavailableError(f"The watch of {kind.plural} failed: {status.get('message') or 'no reason given'}.")
