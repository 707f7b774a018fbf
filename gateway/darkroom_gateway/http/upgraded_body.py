"""The body of a request that asks for another protocol, which is answered in HTTP/1.1. Used by http/protocol.py.

httptools takes such a request to end with its head, and its body to be of the other protocol. But Java's HttpClient
asks for HTTP/2 (`Upgrade: h2c`) with uploads over plain HTTP, and so does curl with `--http2`. A server may ignore that
(RFC 9110, 7.8), and has to read the request as it is then.
"""

from collections.abc import Sequence
from typing import Protocol

import httptools

from darkroom_gateway.http.connection_bounds import BODY_HEADERS


class BodyListener(Protocol):
    """Receives what the parser finds."""

    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


def parser_of_upgraded_body(
    headers: Sequence[tuple[bytes, bytes]], listener: BodyListener
) -> httptools.HttpRequestParser:
    """A parser for what follows the head with these headers, which say that there is a body."""
    framing = b"".join(b"%b: %b\r\n" % field for field in headers if field[0] in BODY_HEADERS)
    parser = httptools.HttpRequestParser(_OneBody(listener))
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
    return parser


class _OneBody:
    """Hands on what belongs to the first body, and nothing behind it."""

    def __init__(self, listener: BodyListener) -> None:
        self._listener = listener
        self._begun = self._complete = False

    def on_headers_complete(self) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of the head, which is known, or of a trailer."""
        if self._begun:
            self._listener.on_header(name, value)

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._listener.on_body(body)

    def on_message_complete(self) -> None:
        if not self._complete:
            self._complete = True
            self._listener.on_message_complete()
