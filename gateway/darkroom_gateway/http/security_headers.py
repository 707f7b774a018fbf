"""Adds `Cache-Control: no-store` and `X-Content-Type-Options: nosniff` to every response. Installed by app.py.

Responses contain prompts, changing states and presigned links, so no browser or proxy may cache them. Only responses
with their own `max-age` keep their Cache-Control: the files of /docs. Works on raw ASGI headers, because every poll
passes through it.
"""

from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

NO_STORE = (b"cache-control", b"no-store")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""Browsers use the declared media type instead of guessing one."""

_NAMES = frozenset({NO_STORE[0], NO_SNIFFING[0]})

SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The same headers for problem details, which the server and the handler of unexpected errors send outside of the
middleware."""


class SecurityHeadersMiddleware:
    """Adds the headers to HTTP responses."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _safe(message["headers"])
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _safe(headers: Sequence[Header]) -> list[Header]:
    """The headers with both headers set once."""
    kept = [each for each in headers if each[0] not in _NAMES]
    return [*kept, NO_SNIFFING, NO_STORE if len(kept) == len(headers) else _caching(headers)]


def _caching(headers: Sequence[Header]) -> Header:
    """The response's Cache-Control if it has a `max-age`, else `no-store`: with `no-cache` a cache may store it."""
    return next((each for each in headers if each[0] == b"cache-control" and b"max-age" in each[1]), NO_STORE)
