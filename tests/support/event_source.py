"""A client of `GET /v1/events` with the rules of a browser's `EventSource`, on httpx-sse."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from httpx_sse import ServerSentEvent, connect_sse


@dataclass
class EventSource:
    """Remembers the last id over connections, and ignores blocks without data."""

    path: str = "/v1/events"
    last_id: str = ""
    seen: list[tuple[str, Any]] = field(default_factory=list)
    """Name and data of all events so far."""

    @contextmanager
    def connect(self, http: httpx.Client) -> Iterator[Iterator[ServerSentEvent]]:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        with connect_sse(http, "GET", self.path, headers=headers) as source:
            assert source.response.status_code == 200, source.response.read()
            yield self._events(source.iter_sse())

    def _events(self, events: Iterator[ServerSentEvent]) -> Iterator[ServerSentEvent]:
        for event in events:
            self.last_id = event.id or self.last_id
            if event.data:
                self.seen.append((event.event, event.json()))
                yield event
