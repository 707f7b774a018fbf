"""Behaviour beyond the connection limit: probes are answered, other requests get a 503. Used by http/protocol.py.

So a gateway at its limit is not restarted because of failing probes.
"""

import logging

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.errors import TooManyConnectionsError
from darkroom_gateway.http.body_limit import refuse_unread
from darkroom_gateway.http.request_log import QUIET_PATHS, RequestLogMiddleware

log = logging.getLogger(__name__)

WARN_AGAIN_SECONDS = 60.0


class OverloadWarning:
    """Logs at most once a minute that there are too many connections."""

    def __init__(self) -> None:
        self._warned_at = float("-inf")

    def warn(self, now: float, max_connections: int) -> None:
        if now - self._warned_at >= WARN_AGAIN_SECONDS:
            self._warned_at = now
            log.warning("more than %d connections are open: new ones get a 503", max_connections)


class ProbesOnlyApp:
    """Answers probes, refuses other requests, and closes the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        # The application logs its own requests.
        answer = self._app if scope["path"] in QUIET_PATHS else RequestLogMiddleware(_refuse)
        await answer(scope, receive, send_and_close)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await refuse_unread(too_many_connections(), scope, receive, send)


def too_many_connections() -> TooManyConnectionsError:
    return TooManyConnectionsError("The gateway has reached its connection limit. Try again in a moment.")
