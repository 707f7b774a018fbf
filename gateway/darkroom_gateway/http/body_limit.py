"""Limits the size and the minimum rate of request bodies, and drains unread ones. Middleware, installed by app.py.
`refuse_unread` is for middleware that refuses a request before its body is read.

The web framework spools uploads to disk without a limit, so the limit is here, on the announced and on the received
size. Time counts only while the gateway waits for the client. http/protocol.py limits the time before a request and
after a response.
"""

import asyncio
from collections.abc import Mapping

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.errors import GatewayError, RequestTimeoutError, TooLargeError
from darkroom_gateway.http.connection_bounds import BODY_HEADERS, ConnectionBounds
from darkroom_gateway.http.problems import problem_response
from darkroom_gateway.http.root_path import route_path

MAX_DRAINED_BYTES = 64 * 1024**2
MIB = 1024**2

LINGER_SECONDS = 2.0
"""How long a refused upload is drained, so that its sender receives the response."""


class BodyLimitMiddleware:
    """Responds 413 to a body of more than `max_bytes`, and 408 to one that arrives too slowly. `by_path` has the
    limits of paths that accept more or less."""

    def __init__(
        self, app: ASGIApp, max_bytes: int, bounds: ConnectionBounds, by_path: Mapping[str, int] | None = None
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._bounds = bounds
        self._by_path = by_path or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or BODY_HEADERS.isdisjoint(name for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        max_bytes = self._by_path.get(route_path(scope), self._max_bytes)
        body = Body(receive, expects_continue="expect" in headers, max_bytes=max_bytes, bounds=self._bounds)
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > max_bytes:
            response = problem_response(_too_large(max_bytes))
            response.headers["Connection"] = "close"
            await body.drain()
            await response(scope, receive, send)
            return

        async def send_after_draining(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.drain()
                if not body.complete:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, body.receive, send_after_draining)


class Body:
    """A request body whose bytes and time are counted."""

    def __init__(
        self, receive: Receive, *, expects_continue: bool, max_bytes: int, bounds: ConnectionBounds | None = None
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._expects_continue = expects_continue
        self._bounds = bounds or ConnectionBounds()
        self._read_bytes = 0
        self._waited_seconds = 0.0
        self._too_slow = False
        self.complete = False
        """Whether all of it was read, or the client has disconnected."""

    async def receive(self) -> Message:
        """Raises `TooLargeError` as soon as the limit is exceeded, `RequestTimeoutError` when it is too slow."""
        message = await self._next()
        if self._read_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        return message

    async def drain(self) -> None:
        """Read and discard the unread rest, within limits of size and time.

        If a server responds and closes while the client is still sending, the client's system discards the response.
        A client that waits for `100 Continue` sends nothing until the server reads, and needs no draining.
        """
        if self._expects_continue and self._read_bytes == 0:
            return
        end = self._read_bytes + MAX_DRAINED_BYTES
        while not self.complete and not self._too_slow and self._read_bytes < end:
            try:
                await self._next()
            except RequestTimeoutError:
                return

    async def _next(self) -> Message:
        if self.complete:
            # A call after the end waits for the client's disconnect.
            return await self._receive()
        message = await self._receive_in_time()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        else:
            self.complete = True
        return message

    async def _receive_in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._allowed_seconds()):
                return await self._receive()
        except TimeoutError:
            self._too_slow = True
            raise _too_slow(self._bounds) from None
        finally:
            self._waited_seconds += loop.time() - began

    def _allowed_seconds(self) -> float:
        """Timeout of the next block. Received bytes extend the total time, as in Apache's mod_reqtimeout."""
        idle, pace = self._bounds.body_seconds, self._bounds.min_body_bytes_per_second
        return idle + min(0.0, self._read_bytes / pace - self._waited_seconds)


async def refuse_unread(error: GatewayError, scope: Scope, receive: Receive, send: Send) -> None:
    """Send the whole response, then drain the body for up to `LINGER_SECONDS` before the connection is closed.

    If a server closes while the client is still sending, the client's system discards the response.
    """
    response = problem_response(error)
    response.headers["Connection"] = "close"
    body = Body(receive, expects_continue="expect" in Headers(scope=scope), max_bytes=0)

    async def send_and_linger(message: Message) -> None:
        if message["type"] != "http.response.body":
            await send(message)
            return
        await send({**message, "more_body": True})
        with anyio.move_on_after(LINGER_SECONDS):
            await body.drain()
        await send({"type": "http.response.body", "body": b""})

    await response(scope, receive, send_and_linger if scope["type"] == "http" else send)


def _too_slow(bounds: ConnectionBounds) -> RequestTimeoutError:
    return RequestTimeoutError(
        f"The body arrived too slowly: nothing for {bounds.body_seconds:g} s, or on average less than "
        f"{bounds.min_body_bytes_per_second} bytes per second. Send it again over a faster connection."
    )


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"Send at most {max_bytes / MIB:.0f} MiB in one request. Use fewer or smaller files.")
