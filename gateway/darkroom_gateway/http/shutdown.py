"""How the gateway ends, so that nobody who asks it loses an answer. main.py tells the steps; others look where it is.

1. It is asked to stop: `/readyz` answers 503, and connections are no longer kept between requests. It still takes new
   ones: whatever spreads the requests over several gateways has not heard yet. So it goes on for the drain.
2. Streams of events end, each with word to connect again, and no new connections are taken.
3. Requests in progress are answered. Then the process ends.
"""

import threading
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Shutdown:
    """Which steps were taken. Set by the server's signal handlers, read everywhere."""

    begun: threading.Event = field(default_factory=threading.Event)
    """Step 1."""
    streams_end: threading.Event = field(default_factory=threading.Event)
    """Step 2."""


class ConnectionCloseMiddleware:
    """Closes each connection behind its answer once the shutdown has begun. Middleware, installed by app.py."""

    def __init__(self, app: ASGIApp, shutdown: Shutdown) -> None:
        self._app = app
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and self._shutdown.begun.is_set():
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_and_close)
