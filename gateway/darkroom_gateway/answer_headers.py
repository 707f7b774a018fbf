"""Headers that every answer has, so that nobody keeps or misreads one. Middleware, installed by app.py.

Answers hold prompts, states that change, and signed links that work for everybody: no cache stores one, neither a
browser's nor a proxy's. Only an answer that sets a `max-age` keeps its own Cache-Control: the files of /docs. Plain
ASGI on raw headers, since status polls pass through here.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_STORE = (b"cache-control", b"no-store")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""Browsers take the media type as it is, and guess no other."""

SAFE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The same for answers that are sent outside of all middleware: those of failures that nothing caught."""


class AnswerHeaders:
    """Adds `Cache-Control: no-store` and `X-Content-Type-Options: nosniff`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*filter(_stays, message["headers"]), NO_SNIFFING]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append(NO_STORE)
            await send(message)

        await self._app(scope, receive, send_safely)


def _stays(header: tuple[bytes, bytes]) -> bool:
    name, value = header
    if name == b"cache-control":
        return b"max-age" in value
    return name != b"x-content-type-options"
