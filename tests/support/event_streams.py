"""Streams of events as a browser reads them, and a job as the operator and the runner see it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from darkroom_contract.names import Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name

NOW = "2026-01-02T03:04:05Z"


@dataclass(frozen=True)
class Event:
    name: str
    data: dict[str, Any]
    id: str | None
    retry_milliseconds: int


@dataclass(frozen=True)
class StreamedJob:
    """A generation whose status and progress a test writes."""

    name: str
    uid: str
    cluster: Any
    redis: Any

    def set_status(self, **status: Any) -> None:
        self.cluster.set_status(Kind.GENERATE, self.name, **status)

    def report(self, step: int, *files: str) -> str:
        """The id of the entry."""
        event = {"attempt": 1, "stage": "Denoising", "step": step, "total": 9, "progressPercentage": 10.0, "time": NOW}
        event |= {"files": files} if files else {}
        entry: bytes = self.redis.xadd(stream_name(self.uid), {STREAM_FIELD: json.dumps(event)})
        return entry.decode()


def follow(http: httpx.Client, name: str, **headers: str) -> Iterator[Event]:
    """The events of a job's stream, until the server ends it."""
    with http.stream("GET", f"/jobs/{name}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if not line and "event" in fields:
                yield Event(fields["event"], json.loads(fields["data"]), fields.get("id"), int(fields["retry"]))
            name, _, value = line.partition(": ")
            fields = {**fields, name: value} if line else {}
