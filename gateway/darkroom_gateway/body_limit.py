"""The size of request bodies: too much is refused, and what nobody read is read away. Middleware, installed by app.py.

guard.py reads away what comes with requests that it refuses.

The web framework spools uploads to disk without end, so the bound is here, on what is announced and on what comes.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.errors import TooLargeError
from darkroom_gateway.problems import problem_response

MAX_DRAINED_BYTES = 64 * 1024**2
MIB = 1024**2


class BodyLimit:
    """Answers 413 to a body of more than `max_bytes`."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = Body(receive, waits_for_go="expect" in headers, max_bytes=self._max_bytes)
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
            await send(message)

        await self._app(scope, body.receive, send_after_draining)


class Body:
    """The body of one request, counted."""

    def __init__(self, receive: Receive, *, waits_for_go: bool, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._waits_for_go = waits_for_go
        self._read_bytes = 0
        self._complete = False

    async def receive(self) -> Message:
        """Raises `TooLargeError` as soon as more came than may."""
        message = await self._next()
        if self._read_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        return message

    async def drain(self) -> None:
        """Read away what nobody read, within bounds.

        A server that answers and closes while the client still sends makes the client's system throw the answer away.
        A client that waits for `100 Continue` sends nothing until we read, and needs no draining.
        """
        if self._waits_for_go and self._read_bytes == 0:
            return
        end = self._read_bytes + MAX_DRAINED_BYTES
        while not self._complete and self._read_bytes < end:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
        else:
            self._complete = True
        return message


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"Send at most {max_bytes / MIB:.0f} MiB in one request. Use fewer or smaller photos.")
