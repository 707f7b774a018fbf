"""Headers that every answer has, so that nobody keeps or misreads one. Middleware, installed by app.py.

Answers hold prompts, states that change, and signed links that work for everybody: no cache stores one, neither a
browser's nor a proxy's. Only an answer that sets a `max-age` keeps its own Cache-Control: the files of /docs. Plain
ASGI on raw headers, since status polls pass through here.
"""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

NO_STORE = (b"cache-control", b"no-store")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""Browsers take the media type as it is, and guess no other."""

_OURS = frozenset({NO_STORE[0], NO_SNIFFING[0]})

SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The same for problems, which are also answered outside of all middleware: by the server, and for failures that
nothing caught."""


class SecurityHeadersMiddleware:
    """Adds `Cache-Control: no-store` and `X-Content-Type-Options: nosniff`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _safe(message["headers"])
            await send(message)

        await self._app(scope, receive, send_safely)


def _safe(headers: Sequence[Header]) -> list[Header]:
    """The headers with ours, each once."""
    kept = [each for each in headers if each[0] not in _OURS]
    return [*kept, NO_SNIFFING, NO_STORE if len(kept) == len(headers) else _caching(headers)]


def _caching(headers: Sequence[Header]) -> Header:
    """Its own where it has a `max-age`, else ours: `no-cache` would let caches store it."""
    return next((each for each in headers if each[0] == b"cache-control" and b"max-age" in each[1]), NO_STORE)
