"""Request log: one line per request, and a request id in all log lines. Installed by app.py and main.py.

Queries contain prompts, and by mistake API keys, so they are not logged; nor are headers and bodies. The name of the
API key is logged.
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
    """Headers for a response of the current request that is sent outside of the middleware."""
    return {HEADER: _request_id.get()}


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to log records; `-` outside of requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = _request_id.get()
        return True


class RequestLogMiddleware:
    """Assigns each request an id, the client's if it sent a valid one, and logs the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _USABLE_ID.fullmatch(given) else new_request_id()
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
            client = f" to {name}" if name else ""
            what = (scope["method"], scope["path"], status, client, milliseconds)
            log.log(level, "%s %r answered %d%s in %.0f ms", *what)
