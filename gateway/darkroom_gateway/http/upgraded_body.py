"""Parses the body of a request with an `Upgrade` header, which the server ignores. Used by http/protocol.py.

httptools assumes that such a request ends with its head and is followed by the other protocol. But Java's HttpClient
sends `Upgrade: h2c` with uploads over plain HTTP, and so does curl with `--http2`. A server may ignore it (RFC 9110,
7.8), and must then read the body as HTTP/1.1.
"""

from collections.abc import Sequence
from typing import Protocol

import httptools

from darkroom_gateway.http.connection_bounds import BODY_HEADERS


class BodyListener(Protocol):
    """Receives the parser's callbacks."""

    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


def parser_of_upgraded_body(
    headers: Sequence[tuple[bytes, bytes]], listener: BodyListener
) -> httptools.HttpRequestParser:
    """A parser for the body after a head with these headers, which announce a body."""
    framing = b"".join(b"%b: %b\r\n" % field for field in headers if field[0] in BODY_HEADERS)
    parser = httptools.HttpRequestParser(_OneBody(listener))
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
    return parser


class _OneBody:
    """Forwards the first body, and ignores everything after it."""

    def __init__(self, listener: BodyListener) -> None:
        self._listener = listener
        self._begun = self._complete = False

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the synthetic head, which is ignored, or of a trailer."""
        if self._begun:
            self._listener.on_header(name, value)

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._listener.on_body(body)

    def on_message_complete(self) -> None:
        if not self._complete:
            self._complete = True
            self._listener.on_message_complete()
