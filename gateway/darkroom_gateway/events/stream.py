"""The response of the endpoints with event streams: sends one watcher's events. Created by events/router.py.

A plain ASGI response instead of FastAPI's `EventSourceResponse`, which needs two queues and four tasks per stream: too
much for a thousand watchers.
"""

import asyncio
import logging
from functools import partial
from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from darkroom_gateway.events.watcher import Watcher

log = logging.getLogger(__name__)

HEADERS = {"X-Accel-Buffering": "no"}
"""Disables response buffering in nginx."""


def description(*names: str) -> dict[str, Any]:
    """The OpenAPI response of a stream with events of these names."""
    properties = {
        "event": {"type": "string", "enum": list(names)},
        "data": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    }
    return {
        "description": "Server-sent events.",
        "content": {"text/event-stream": {"itemSchema": {"type": "object", "properties": properties}}},
    }


class EventStream(Response):
    """Sends events until the last one or until the client disconnects."""

    media_type = "text/event-stream"

    def __init__(self, watcher: Watcher) -> None:
        # Skips the parent's constructor: a stream has no body and no length.
        self.status_code = 200
        self.background = None
        self.init_headers(HEADERS)
        self._watcher = watcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watcher, sender = self._watcher, None
        watcher.task = asyncio.current_task()
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # A separate task, which events resume without passing through the middleware of this one.
            sender = asyncio.create_task(_send_events(watcher, send))
            sender.add_done_callback(partial(_end_after_failure, watcher))
            while (await receive())["type"] != "http.disconnect":
                pass
            # The client has disconnected, or the response is complete.
            watcher.hang_up()
            await sender
        except asyncio.CancelledError:
            if not watcher.is_aborted:
                raise
        finally:
            watcher.leave()
            if sender is not None:
                sender.cancel()


async def _send_events(watcher: Watcher, send: Send) -> None:
    while not watcher.is_gone:
        chunk = watcher.take()
        if chunk:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        elif watcher.is_done:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        else:
            await watcher.news()


def _end_after_failure(watcher: Watcher, sender: "asyncio.Task[None]") -> None:
    error = None if sender.cancelled() else sender.exception()
    if error is not None:
        log.error("the event stream of %s failed", watcher.subject, exc_info=error)
        watcher.abort()
