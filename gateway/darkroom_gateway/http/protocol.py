"""uvicorn's httptools protocol with limits: one instance per connection. Used by http/server.py.

httptools and uvicorn have no limits: a head may take forever and have any size, a client that reads no response keeps
its connection, and pipelined requests queue up. A request that is refused here never reaches the application and its
metrics. The response is a problem document with a request id that is also logged.

Relies on these names of uvicorn's HttpToolsProtocol: `parser`, `scope`, `cycle`, `pipeline`, `connections`, `flow`,
`app`, `transport`, `loop`, `timeout_keep_alive_task`, `_start_asgi_task`. So pyproject.toml pins uvicorn, and
tests/unit/gateway/http/test_protocol.py checks them.
"""

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from darkroom_gateway.errors import (
    GatewayError,
    HeadersTooLargeError,
    MalformedRequestError,
    RequestTimeoutError,
    UrlTooLongError,
)
from darkroom_gateway.http.connection_bounds import (
    BODY_HEADERS,
    MAX_PIPELINED_REQUESTS,
    MAX_URL_BYTES,
    RESERVED_CONNECTIONS,
    ConnectionBounds,
)
from darkroom_gateway.http.disconnect import offer_disconnect
from darkroom_gateway.http.overload import OverloadWarning, ProbesOnlyApp, too_many_connections
from darkroom_gateway.http.raw_response import raw_response
from darkroom_gateway.http.request_log import new_request_id
from darkroom_gateway.http.upgraded_body import parser_of_upgraded_body

log = logging.getLogger(__name__)

LINGER_SECONDS = 2.0
"""How long a refused client may continue to send. If the server closed earlier, the client's system would discard the
response."""

BYTES_PER_HEADER = 4
"""`: ` and the line break."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `protocol_class` makes a subclass with the bounds of a server."""

    bounds: ConnectionBounds
    overload: OverloadWarning

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._served: RequestResponseCycle | None = None
        """The request that the application handles. `cycle` is the latest one, which may be queued behind it."""
        self._timer: asyncio.TimerHandle | None = None
        self._head_since: float | None = None
        """Start of the wait for a head: the connection's start, or the first byte of a later head."""
        self._answered_at = 0.0
        self._receiving = False
        """Between the end of a head and the end of its body."""
        self._begun = False
        """Whether a part of a head was received."""
        self._url_bytes = self._header_bytes = 0
        # Copied, because attribute access per header is faster this way.
        self._max_headers, self._max_header_bytes = self.bounds.max_headers, self.bounds.max_header_bytes
        self._unparsed_bytes = 0
        """Bytes since the parser's last callback: an unterminated field or chunk extension."""
        self._parsed = False
        self._refusal: GatewayError | None = None
        self._refused_at: float | None = None
        self._unwritten_bytes = 0
        self._stalled_since = 0.0

    # ---- Connection ----

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_since = self._stalled_since = self.loop.time()
        excess = len(self.connections) - self.bounds.max_connections
        if excess > 0:
            self.overload.warn(self.loop.time(), self.bounds.max_connections)
            self.app = ProbesOnlyApp(self.app)
        if excess > RESERVED_CONNECTIONS:
            self._respond(too_many_connections(), logging.DEBUG)
            transport.close()
        self._check_at(self._head_since + self.bounds.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._served is not None and not self._served.response_complete:
            # uvicorn notifies only the latest request. The application would never end if another one was pipelined.
            self._note_disconnect(self._served)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        if self._refused_at is not None or self.transport.is_closing():
            return
        self._end_idle_time()
        self._parsed = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or MalformedRequestError("The input is not an HTTP/1.1 request."))
            return
        self._unparsed_bytes = 0 if self._parsed else self._unparsed_bytes + len(data)
        if self._unparsed_bytes > self.bounds.max_header_bytes:
            self._refuse(self._too_large())
        elif self._head_since is not None:
            self._check_at(self._head_since + self.bounds.header_seconds)

    def _parse(self, data: bytes) -> None:
        """Raises `HttpParserError`."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The upgrade is ignored: respond in HTTP/1.1, and read nothing after this request.
            self._parsed, self.cycle.keep_alive = True, False
            if not BODY_HEADERS.isdisjoint(name for name, _ in self.headers):
                self._receiving = self.cycle.more_body = True
                self.cycle.message_event.clear()
                self.parser = parser_of_upgraded_body(self.headers, self)
                self.parser.feed_data(data[upgrade.args[0] :])

    def _end_idle_time(self) -> None:
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        if self._head_since is None and not self._receiving:
            self._head_since = self.loop.time()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def resume_writing(self) -> None:
        self._stalled_since = self.loop.time()
        super().resume_writing()

    # ---- Parser callbacks. An exception stops the parser. ----

    def on_message_begin(self) -> None:
        super().on_message_begin()
        offer_disconnect(self.scope, self._abort)  # type: ignore[arg-type]
        self._begun = True
        if self._head_since is None:  # It arrived in one block with the end of the previous request.
            self._head_since = self.loop.time()
        self._url_bytes = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._parsed = True
        self._url_bytes += len(url)
        if self._url_bytes > MAX_URL_BYTES:
            self._refusal = UrlTooLongError(f"Send at most {MAX_URL_BYTES} bytes of path and parameters.")
            raise self._refusal
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of a trailer, which is counted and dropped (RFC 9110, 6.5.1)."""
        self._parsed = True
        self._header_bytes += len(name) + len(value) + BYTES_PER_HEADER
        if self._header_bytes > self._max_header_bytes or len(self.headers) >= self._max_headers:
            self._refusal = self._too_large()
            raise self._refusal
        if not self._receiving:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED_REQUESTS:
            self._refusal = MalformedRequestError(f"Pipeline at most {MAX_PIPELINED_REQUESTS} requests.")
            raise self._refusal
        super().on_headers_complete()
        self._parsed, self._head_since, self._begun, self._receiving = True, None, False, True

    def on_body(self, body: bytes) -> None:
        self._parsed = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._parsed, self._receiving = True, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answered_at = self.loop.time()
        super().on_response_complete()
        if self._receiving or self._head_since is not None:
            self._check_at(self._answered_at + self.bounds.header_seconds)

    # ---- Timeouts. One timer per connection, which ordinary requests neither set nor cancel. ----

    def _check_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_at(time, self._check_timeouts)

    def _check_timeouts(self) -> None:
        now = self.loop.time()
        deadlines = [now + self.bounds.write_seconds / 4]
        if self._refused_at is not None:
            deadlines.append(self._refused_at + LINGER_SECONDS)
            if now >= deadlines[-1]:
                self.transport.abort()
        elif (since := self._waiting_since()) is not None:
            deadlines.append(since + self.bounds.header_seconds)
            if now >= deadlines[-1]:
                self._end_waiting()
        if self._write_deadline(now) <= now:
            self._close_for("the client read nothing of its response for %g s", self.bounds.write_seconds)
        if self._timer is not None:
            self._check_at(max(now + 0.01, min(deadlines)))

    def _waiting_since(self) -> float | None:
        """Since when the server waits for the client: for a head, or for the rest of a body after its response."""
        if self._is_responding:
            return None
        if self._head_since is not None:
            return max(self._head_since, self._answered_at)
        return self._answered_at if self._receiving else None

    def _end_waiting(self) -> None:
        if self._receiving or not self._begun:
            # Browsers open connections in advance: not worth a log line.
            log.debug("closed idle connection of %s", self._client_address)
            self.transport.close()
        else:
            text = f"The URL and headers of the request took longer than {self.bounds.header_seconds:g} s."
            self._refuse(RequestTimeoutError(text))

    def _write_deadline(self, now: float) -> float:
        unwritten = self.transport.get_write_buffer_size()
        if unwritten == 0 or self._unwritten_bytes == 0 or unwritten < self._unwritten_bytes:
            self._stalled_since = now
        self._unwritten_bytes = unwritten
        return self._stalled_since + self.bounds.write_seconds

    def _too_large(self) -> HeadersTooLargeError:
        most, together = self.bounds.max_headers, self.bounds.max_header_bytes
        return HeadersTooLargeError(f"Send at most {most} header fields, of {together} bytes together.")

    # ---- Refusing ----

    @property
    def _is_responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: GatewayError) -> None:
        """Send a problem document and drain the input. Send nothing if the client would take it for the response to
        another request."""
        self._refused_at = self.loop.time()
        if self._is_responding:
            if self.cycle.response_started or self.pipeline or not self._receiving:
                self._close_for("%s", error)
                return
            self._note_disconnect(self.cycle)
        self.flow.resume_reading()
        self._respond(error, logging.INFO)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._check_at(self._refused_at + LINGER_SECONDS)

    def _respond(self, error: GatewayError, log_level: int) -> None:
        request_id = new_request_id()
        log.log(log_level, "refused request %s of %s: %s", request_id, self._client_address, error)
        self.transport.write(raw_response(error, request_id))

    def _abort(self) -> None:
        """Called by the application during its response."""
        if self._served is not None:
            self._note_disconnect(self._served)
        self.transport.abort()

    @staticmethod
    def _note_disconnect(cycle: RequestResponseCycle) -> None:
        cycle.disconnected = True
        cycle.message_event.set()

    def _close_for(self, reason: str, *arguments: object) -> None:
        log.info("closed connection of %s: " + reason, self._client_address, *arguments)
        self.transport.abort()

    @property
    def _client_address(self) -> str:
        return self.client[0] if self.client else "unknown"


def protocol_class(server_bounds: ConnectionBounds) -> type[BoundedProtocol]:
    """The protocol class for the connections of one server."""

    class Protocol(BoundedProtocol):
        bounds = server_bounds
        overload = OverloadWarning()

    return Protocol
