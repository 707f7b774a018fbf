"""Graceful shutdown, so that no client loses a response. main.py sets the steps; other modules read them.

1. Drain: `/readyz` returns 503, and connections are closed after their response. New connections are still accepted,
   because load balancers have not yet noticed.
2. Event streams end, telling clients to reconnect, and no new connections are accepted.
3. Requests in progress are completed. Then the process exits.
"""

import threading
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Shutdown:
    """The steps that have begun. Set by the server's signal handlers."""

    begun: threading.Event = field(default_factory=threading.Event)
    """Step 1."""
    streams_end: threading.Event = field(default_factory=threading.Event)
    """Step 2."""


class ConnectionCloseMiddleware:
    """Closes connections after their response once the shutdown has begun. Installed by app.py."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self._app = app
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self._shutdown.begun.is_set():
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_and_close)
