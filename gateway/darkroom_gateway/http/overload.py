"""What happens beyond the limit of connections: probes are answered, everything else is 503. Used by http/protocol.py.

So a gateway that has as many clients as it takes is not restarted for failing its probes.
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
    """Says once a minute that there are too many connections."""

    def __init__(self) -> None:
        self._warned_at = float("-inf")

    def warn(self, now: float, max_connections: int) -> None:
        if now - self._warned_at >= WARN_AGAIN_SECONDS:
            self._warned_at = now
            log.warning("more than %d connections are open: new ones are answered 503", max_connections)


class ProbesOnlyApp:
    """Answers probes and refuses everything else. The connection is closed behind either."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        # The application logs its requests itself.
        answer = self._app if scope["path"] in QUIET_PATHS else RequestLogMiddleware(_refuse)
        await answer(scope, receive, send_and_close)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await refuse_unread(too_many_connections(), scope, receive, send)


def too_many_connections() -> TooManyConnectionsError:
    return TooManyConnectionsError("The gateway has as many connections as it takes. Try again in a moment.")
