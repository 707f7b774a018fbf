"""An event hub in the test process, and connections that watch it like those of the web server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.status import JobStatus, Phase
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.hub import EventHub
from darkroom_gateway.events.places import Places
from darkroom_gateway.events.stream import EventStream
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.redis.progress_streams import EntryId, ProgressStreams
from darkroom_gateway.settings import Settings
from support.event_streams import NOW
from support.valkey import Valkey

POLL_SECONDS = 0.2


async def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition without blocking the event loop."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(0.01)


@dataclass
class Connection:
    """A watcher's connection: the events that it received, and whether it accepts more."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    pings: int = 0
    ping_ids: list[str] = field(default_factory=list)
    takes: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None

    @property
    def steps(self) -> list[int]:
        return [data["step"] for name, data in self.events if name == "progress"]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def data(self, name: str) -> list[dict[str, Any]]:
        return [data for each, data in self.events if each == name]

    async def receive(self) -> dict[str, Any]:
        """Returns `http.disconnect` also when the response is complete, as in ASGI."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        if self.fails:
            raise OSError("the connection fails")
        for text in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.partition(": ")[::2] for line in text.splitlines())
            if "event" in fields:
                self.events.append((fields["event"], json.loads(fields["data"])))
                self.ids += [fields["id"]] if "id" in fields else []
            if text.startswith(": ping"):
                self.pings += 1
                self.ping_ids += [fields["id"]] if "id" in fields else []
        if message["type"] == "http.response.body" and not message["more_body"]:
            self.gone.set()


class HubHarness:
    """A hub, its Valkey, and the jobs of the cluster."""

    def __init__(self, valkey: Valkey, max_watchers: int = 2000, query: str = "") -> None:
        self.valkey = valkey
        self.jobs: dict[str, Job] = {}
        self.status_checks: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.shutdown = Shutdown()
        self.progress = ProgressStreams(Settings(redis_url=valkey.url + query))
        self.hub = EventHub(self._refresh, self.progress, POLL_SECONDS, self.shutdown, "", Places(max_watchers))

    def _refresh(self, job: Job) -> Job | None:
        self.status_checks.append(job.uid)
        if job.uid in self.failures:
            raise self.failures[job.uid]
        return self.jobs.get(job.uid)

    def add_job(self, uid: str, phase: Phase = Phase.RUNNING) -> Job:
        now = datetime.now(UTC)
        spec = GenerateJobSpec(prompt="a dog")
        status = JobStatus(phase=phase)
        job = Job(Kind.GENERATE, "default", f"job-{uid}", uid, "1", 1, now, 1, False, {}, spec, status)
        self.jobs[uid] = job
        return job

    def set_phase(self, uid: str, phase: Phase) -> None:
        job = self.jobs[uid]
        version = str(int(job.resource_version) + 1)
        self.jobs[uid] = replace(job, resource_version=version, status=JobStatus(phase=phase))

    def report(self, uid: str, step: int, entry_id: str = "*", preview: dict[str, Any] | None = None) -> str:
        event = {"attempt": 1, "stage": "Denoising", "step": step, "total": 9, "time": NOW, "preview": preview}
        fields = {STREAM_FIELD: json.dumps(event)}
        entry: bytes = self.valkey.client.xadd(stream_name(uid), fields, id=entry_id, maxlen=1000, approximate=True)
        return entry.decode()

    def watch(self, uid: str, after: str | None = None, *, takes: bool = True) -> Connection:
        """Open a connection, as the endpoint does."""
        connection = Connection()
        if takes:
            connection.takes.set()
        seen = None if after is None else EntryId.read(after)
        stream = EventStream(self.hub.join(self.jobs[uid], seen))
        scope = {"type": "http"}
        connection.task = asyncio.create_task(stream(scope, connection.receive, connection.send))
        return connection


@asynccontextmanager
async def running_hub(valkey: Valkey, max_watchers: int = 2000, query: str = "") -> AsyncIterator[HubHarness]:
    harness = HubHarness(valkey, max_watchers, query)
    try:
        yield harness
    finally:
        harness.shutdown.streams_end.set()
        await harness.hub.close()
        await harness.progress.close()


class LostError(GatewayError):
    """The cluster does not respond."""


async def begun(harness: HubHarness, uid: str = "a", watchers: int = 1) -> list[Connection]:
    """Watchers of a running job that have seen its first step, entry 5-0."""
    harness.add_job(uid)
    harness.report(uid, 1, "5-0")
    connections = [harness.watch(uid) for _ in range(watchers)]
    await until(lambda: all(each.steps == [1] for each in connections), "all have begun")
    return connections


def keep_busy(seconds: float) -> None:
    """Block the event loop."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
