"""A job's life as server-sent events: status and live progress in one stream. Called by endpoints/jobs.py.

`status` whenever the job's resource changes, `progress` whenever the run says something, `warning` when one of the
two sources is lost, `end` as the last. The status is the truth: without Redis a stream has no `progress` events, and
still tells everything that matters.
"""

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import anyio
from anyio import to_thread
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel, Field

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError, ProgressUnavailableError
from darkroom_gateway.jobs import Jobs
from darkroom_gateway.progress import BATCH, Entry, Progress
from darkroom_gateway.shutdown import Shutdown
from darkroom_gateway.views import job_answer, phase_of, progress_answer

log = logging.getLogger(__name__)

RETRY_MILLISECONDS = 2000
"""After this long a browser whose connection broke comes back, with `Last-Event-ID`."""


class SourceLost(BaseModel):
    """A source was lost; the stream goes on and looks for it again."""

    source: str = Field(description="cluster or progress")
    detail: str


class End(BaseModel):
    """Nothing more comes."""

    reason: str = Field(description="The final phase, Deleted, or GatewayStopping: then connect again.")


class Events:
    """Makes streams of events."""

    def __init__(
        self, jobs: Jobs, progress: Progress, poll_seconds: float, shutdown: Shutdown, root_path: str = ""
    ) -> None:
        self._jobs = jobs
        self._progress = progress
        self._poll_seconds = poll_seconds
        self._shutdown = shutdown
        self._root_path = root_path

    def stream(self, job: Job, after: str) -> AsyncIterator[ServerSentEvent]:
        """The events of a job, its progress from behind the entry `after`, until it is over."""
        sources = (self._jobs, self._progress, self._poll_seconds, self._shutdown, self._root_path)
        return _Stream(*sources, job, after).events()


class _Stream:
    """One connection: what it has told already, and what comes next."""

    def __init__(
        self,
        jobs: Jobs,
        progress: Progress,
        poll_seconds: float,
        shutdown: Shutdown,
        root_path: str,
        job: Job,
        after: str,
    ) -> None:
        self._jobs = jobs
        self._progress = progress
        self._poll_seconds = poll_seconds
        self._shutdown = shutdown
        self._root_path = root_path
        self._job: Job = job
        self._after = after
        self._told: Job | None = None
        self._lost: set[str] = set()

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        looked = time.monotonic()
        for event in self._status():
            yield event
        while not self._shutdown.streams_end.is_set():
            over = phase_of(self._job).is_terminal
            async for event in self._progress_events(0.0 if over else self._poll_seconds):
                yield event
            if over:
                yield _event("end", End(reason=phase_of(self._job).value))
                return
            if time.monotonic() - looked >= self._poll_seconds:
                looked = time.monotonic()
                for event in await self._look():
                    yield event
                    if event.event == "end":
                        return
        yield _event("end", End(reason="GatewayStopping"))

    def _status(self) -> list[ServerSentEvent]:
        """A `status` event, unless the job is as it was told before. It is not the answers that are compared: in those
        of a waiting job the seconds until its start go by."""
        job = replace(self._job, resource_version="")
        if job == self._told:
            return []
        self._told = job
        return [_event("status", job_answer(job, self._root_path))]

    async def _look(self) -> list[ServerSentEvent]:
        """What became of the job since the last look."""
        try:
            job = await to_thread.run_sync(self._jobs.find_again, self._job)
        except GatewayError as error:
            return self._lose("cluster", error)
        self._lost.discard("cluster")
        if job is None:
            return [_event("end", End(reason="Deleted"))]
        self._job = job
        return self._status()

    async def _progress_events(self, wait_seconds: float) -> AsyncIterator[ServerSentEvent]:
        """The progress that came within the wait, or a `warning` and the wait itself when Redis is lost.

        With no wait: all that is there.
        """
        entries: list[Entry] = []
        while not entries or (wait_seconds == 0.0 and len(entries) == BATCH):
            try:
                entries = await self._progress.read(self._job.uid, self._after, wait_seconds)
            except ProgressUnavailableError as error:
                for event in self._lose("progress", error):
                    yield event
                await anyio.sleep(wait_seconds)
                return
            self._lost.discard("progress")
            for entry in entries:
                self._after = entry.id
                if entry.event is not None:
                    yield _event("progress", progress_answer(entry.event), entry.id)
            if not entries:
                return

    def _lose(self, source: str, error: GatewayError) -> list[ServerSentEvent]:
        """A `warning`, once for each outage."""
        if source in self._lost:
            return []
        self._lost.add(source)
        log.warning("a stream of events of %s lost its %s: %s", self._job.key, source, error)
        return [_event("warning", SourceLost(source=source, detail=str(error)))]


def _event(name: str, data: BaseModel, entry_id: str | None = None) -> ServerSentEvent:
    document = data.model_dump(mode="json", exclude_none=True)
    return ServerSentEvent(event=name, data=document, id=entry_id, retry=RETRY_MILLISECONDS)
