"""One line a request, and an id that all its lines share. Middleware and filter, installed by app.py and main.py.

A query holds people's prompts, and by mistake an API key, so it is not logged; nor are headers or bodies. Of a key its
name is told, which auth/middleware.py knows.
"""

import logging
import re
import secrets
import time
from contextvars import ContextVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.http.root_path import route_path

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
QUIET_PATHS = frozenset({"/healthz", "/readyz"})

_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_request_id: ContextVar[str] = ContextVar("request_id", default="-")


def new_request_id() -> str:
    return secrets.token_hex(8)


def headers_of_request() -> dict[str, str]:
    """For an answer that is sent outside of all middleware, within the request."""
    return {HEADER: _request_id.get()}


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to every record; `-` outside of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True


class RequestLogMiddleware:
    """Gives each request an id, its caller's own when that is usable, and logs how it ended."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get(HEADER, "")
        request_id = asked if _USABLE_ID.fullmatch(asked) else new_request_id()
        _request_id.set(request_id)
        began = time.monotonic()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            level = logging.DEBUG if route_path(scope) in QUIET_PATHS else logging.INFO
            milliseconds = (time.monotonic() - began) * 1000
            name = scope.get("state", {}).get("key_name")
            asker = f" to {name}" if name else ""
            what = (scope["method"], scope["path"], status, asker, milliseconds)
            log.log(level, "%s %r answered %d%s in %.0f ms", *what)
