"""A recorder of Events on a simulated API server, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

from darkroom_contract.event_reasons import EventReason
from darkroom_operator.errors import ApiError, api_error
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.reconcile.activity import Activity
from darkroom_operator.telemetry.event_recorder import EventRecorder
from darkroom_operator.telemetry.job_events import JobEvent, JobReference
from darkroom_operator.telemetry.metrics import Metrics
from support.operator_snapshots import NOW, a_job

Json = dict[str, Any]
JOB = JobReference.of(a_job())
QUOTA = JobEvent(EventReason.QUOTA_EXCEEDED, "exceeded quota: used: pods=1")


def admitted(number: int = 1) -> JobEvent:
    return JobEvent(EventReason.ADMITTED, f"Run {number} holds slot 0.")


class Events:
    """The events of an API server, which may refuse the next request."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.requests: list[tuple[str, str]] = []
        self.error: ApiError | None = None
        self.answered = asyncio.Event()

    async def create_event(self, event: Json) -> Json:
        name = event["metadata"]["name"]
        self._answer("create", name)
        if name in self.objects:
            raise api_error("POST events", 409, "AlreadyExists", "it exists")
        self.objects[name] = event
        return event

    async def patch_event(self, name: str, patch: Json) -> Json:
        self._answer("patch", name)
        if name not in self.objects:
            raise api_error("PATCH events", 404, "NotFound", "there is none")
        self.objects[name] = self.objects[name] | patch
        return self.objects[name]

    def _answer(self, verb: str, name: str) -> None:
        self.requests.append((verb, name))
        self.answered.set()
        if self.error is not None:
            raise self.error

    async def wait_for(self, requests: int) -> None:
        async with asyncio.timeout(60):
            while len(self.requests) < requests:
                self.answered.clear()
                await self.answered.wait()
        await settle()


async def settle() -> None:
    """Let the recorder's task come to rest."""
    for _ in range(20):
        await asyncio.sleep(0)


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Stage:
    def __init__(self) -> None:
        self.events, self.clock, self.metrics = Events(), Clock(), Metrics()
        self.recorder = EventRecorder(self.metrics, self.clock, delay_seconds=0.0)

    def record(self, event: JobEvent, job: JobReference = JOB, now: datetime = NOW) -> None:
        self.recorder.record(job, event, now)

    @asynccontextmanager
    async def posting(self, activity: Activity | None = None) -> AsyncIterator[Events]:
        idle = Activity(pause_seconds=0) if activity is None else activity
        task = asyncio.create_task(self.recorder.run(cast(KubeClient, self.events), idle.wait_until_idle))
        try:
            yield self.events
        finally:
            assert not task.done()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def counted(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("darkroom_events_total", {"result": result}) or 0.0
