"""The stream of all jobs in the test process: a store that tests fill, a Valkey, and connections that watch."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel

from darkroom_contract.jobs import Job
from darkroom_contract.names import API_VERSION, Kind
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.job_changes import JobChanges
from darkroom_gateway.events.namespace_follower import NamespaceFollower
from darkroom_gateway.events.places import Places
from darkroom_gateway.events.ring import Selection
from darkroom_gateway.events.stream import EventStream
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.redis.progress_streams import EntryId
from support.event_watchers import Connection, HubHarness
from support.valkey import Valkey


class ShownJob(BaseModel):
    """Enough of a job to recognize it."""

    id: str
    status: str
    position: int | None
    step: int | None


class NamespaceHarness(HubHarness):
    """A follower of all jobs beside a hub, with the places of both."""

    def __init__(self, valkey: Valkey, max_watchers: int = 2000) -> None:
        super().__init__(valkey, max_watchers)
        self.store = JobStore()
        self.rendered = 0
        self.watch_is_lost = False
        self._version = 0
        self.places = Places(max_watchers)
        self.follower = NamespaceFollower(
            JobChanges(self.store), self.hub, self._show, self._require_watch, self.shutdown, "", self.places
        )

    def _refresh(self, job: Job) -> Job | None:
        stored = self.store.get(job.kind, job.name)
        return None if stored is None else self.store.read(stored)

    def _show(self, job: Job) -> BaseModel:
        self.rendered += 1
        queue, progress = job.status.queue, job.status.progress
        return ShownJob(
            id=job.name,
            status=phase_of(job),
            position=None if queue is None else queue.position,
            step=None if progress is None else progress.step,
        )

    def _require_watch(self, what: str) -> None:
        if self.watch_is_lost:
            raise GatewayError(f"{what} is unknown.")

    def put(self, uid: str, phase: str, kind: Kind = Kind.GENERATE, model_id: str | None = None, **status: Any) -> None:
        """Store a job as the informer does. Its name is its uid."""
        self._version += 1
        spec: dict[str, Any] = {"prompt": "a dog"} | ({} if model_id is None else {"modelId": model_id})
        spec |= {"dataset": {"uri": "s3://darkroom/datasets/default/a/"}} if kind is Kind.TRAIN else {}
        metadata = {"name": uid, "namespace": "default", "uid": uid, "generation": 1}
        metadata |= {"creationTimestamp": "2026-01-02T03:04:05Z", "resourceVersion": str(self._version)}
        document = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": metadata, "spec": spec}
        self.store.put({**document, "status": {"phase": phase, "attempts": 1, **status}})

    def remove(self, uid: str, kind: Kind = Kind.GENERATE) -> None:
        self.store.remove(kind, uid, uid)

    async def watch_all(
        self, after: str | None = None, *, takes: bool = True, selection: Selection | None = None
    ) -> Connection:
        """Open a connection, as the endpoint does."""
        connection = Connection()
        if takes:
            connection.takes.set()
        seen = None if after is None else EntryId.read(after)
        stream = EventStream(await self.follower.join(selection or Selection(), seen))
        connection.task = asyncio.create_task(stream({"type": "http"}, connection.receive, connection.send))
        return connection


@asynccontextmanager
async def running_follower(valkey: Valkey, max_watchers: int = 2000) -> AsyncIterator[NamespaceHarness]:
    harness = NamespaceHarness(valkey, max_watchers)
    try:
        yield harness
    finally:
        harness.shutdown.streams_end.set()
        await harness.follower.close()
        await harness.hub.close()
        await harness.progress.close()


def states(connection: Connection) -> list[tuple[str, str]]:
    """Name and status of each `job` event."""
    return [(data["id"], data["status"]) for data in connection.data("job")]


def reported_steps(connection: Connection) -> list[int]:
    return [data["progress"]["step"] for data in connection.data("progress")]
