"""The size and the pace of request bodies: too much or too slow is refused, and what nobody read is read away.
Middleware, installed by app.py; `refuse_unread` is for those that refuse a request before they look at its body.

The web framework spools uploads to disk without end, so the bound is here, on what is announced and on what comes. Time
counts only while the gateway waits for the client: what it takes itself, and what a client does before its request or
after the answer (http/protocol.py), is no part of it.
"""

import asyncio

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.errors import GatewayError, RequestTimeoutError, TooLargeError
from darkroom_gateway.http.connection_bounds import BODY_HEADERS, ConnectionBounds
from darkroom_gateway.http.problems import problem_response

MAX_DRAINED_BYTES = 64 * 1024**2
MIB = 1024**2

LINGER_SECONDS = 2.0
"""How long a refused upload is still read away, so that its sender gets to see the answer."""


class BodyLimitMiddleware:
    """Answers 413 to a body of more than `max_bytes`, and 408 to one that comes too slowly."""

    def __init__(self, app: ASGIApp, max_bytes: int, bounds: ConnectionBounds) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._bounds = bounds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or BODY_HEADERS.isdisjoint(name for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = Body(receive, waits_for_go="expect" in headers, max_bytes=self._max_bytes, bounds=self._bounds)
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            response = problem_response(_too_large(self._max_bytes))
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
    """The body of one request, counted and timed."""

    def __init__(
        self, receive: Receive, *, waits_for_go: bool, max_bytes: int, bounds: ConnectionBounds | None = None
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._waits_for_go = waits_for_go
        self._bounds = bounds or ConnectionBounds()
        self._read_bytes = 0
        self._waited_seconds = 0.0
        self._too_slow = False
        self.complete = False
        """Whether all of it was read, or its sender has gone."""

    async def receive(self) -> Message:
        """Raises `TooLargeError` as soon as more came than may, `RequestTimeoutError` when too little comes."""
        message = await self._next()
        if self._read_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        return message

    async def drain(self) -> None:
        """Read away what nobody read, within bounds of size and time.

        A server that answers and closes while the client still sends makes the client's system throw the answer away.
        A client that waits for `100 Continue` sends nothing until we read, and needs no draining.
        """
        if self._waits_for_go and self._read_bytes == 0:
            return
        end = self._read_bytes + MAX_DRAINED_BYTES
        while not self.complete and not self._too_slow and self._read_bytes < end:
            try:
                await self._next()
            except RequestTimeoutError:
                return

    async def _next(self) -> Message:
        if self.complete:
            # A caller that asks now wants to know when the client leaves, and may wait for that.
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        else:
            self.complete = True
        return message

    async def _in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._patience_seconds()):
                return await self._receive()
        except TimeoutError:
            self._too_slow = True
            raise _too_slow(self._bounds) from None
        finally:
            self._waited_seconds += loop.time() - began

    def _patience_seconds(self) -> float:
        """Until the next piece. What came so far earns time for the whole, as in Apache's mod_reqtimeout."""
        idle, pace = self._bounds.body_seconds, self._bounds.min_body_bytes_per_second
        return idle + min(0.0, self._read_bytes / pace - self._waited_seconds)


async def refuse_unread(error: GatewayError, scope: Scope, receive: Receive, send: Send) -> None:
    """The whole answer first; then, before the connection is closed, what is under way is read away for a moment.

    A server that closes while the client still sends makes the client's system throw the answer away.
    """
    response = problem_response(error)
    response.headers["Connection"] = "close"
    body = Body(receive, waits_for_go="expect" in Headers(scope=scope), max_bytes=0)

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
        f"The body came too slowly: nothing for {bounds.body_seconds:g} s, or for longer than that less than "
        f"{bounds.min_body_bytes_per_second} bytes a second. Send it again over a better connection."
    )


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"Send at most {max_bytes / MIB:.0f} MiB in one request. Use fewer or smaller photos.")
