"""Changes of the stored jobs, from the threads that store them to the event loop. Used by events/namespace_follower.py.

Of several changes of a job that wait to be taken only the latest counts. Beyond `MAX_WAITING` jobs, all are dropped:
the follower then sends a reset.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.errors import UnreadableJobError
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.stored_job import StoredJob

MAX_WAITING = 2000
MAX_ACTIVE = 1000
"""Jobs that start or run at a time, of which progress is read."""


@dataclass(frozen=True)
class Change:
    """The latest state of a job that has changed."""

    job: Job
    is_deleted: bool = False


class JobChanges:
    """Listens to a store while it is started. Used on the event loop, except for `_note`."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[tuple[Kind, str, str], StoredJob] = {}
        self._overflowed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._some = asyncio.Event()

    def start(self) -> None:
        """Collect changes from now on."""
        self._loop = asyncio.get_running_loop()
        self._some = asyncio.Event()
        self._waiting, self._overflowed = {}, False
        self._store.listen(self._note)

    def stop(self) -> None:
        self._store.stop_listening(self._note)

    async def wait(self, seconds: float) -> None:
        """Until there is something to take, or for this long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._some.wait()

    def take(self, limit: int) -> list[Change] | None:
        """Up to `limit` changes, without unreadable jobs; None when changes were dropped."""
        with self._lock:
            overflowed, self._overflowed = self._overflowed, False
            taken = [self._waiting.pop(key) for key in list(self._waiting)[:limit]]
            if not self._waiting:
                self._some.clear()
        return None if overflowed else [change for each in taken if (change := self._change(each)) is not None]

    def active(self) -> Iterator[Job]:
        """The jobs that start or run now."""
        for phase in (Phase.STARTING, Phase.RUNNING):
            for stored in self._store.page(JobFilter(phases=[phase]), MAX_ACTIVE, None).jobs:
                with suppress(UnreadableJobError):
                    yield self._store.read(stored)

    def now(self, job: Job) -> Change:
        """The latest state of a job."""
        stored = self._store.get(job.kind, job.name)
        change = None if stored is None or stored.uid != job.uid else self._change(stored)
        return change or Change(job, is_deleted=True)

    def _change(self, changed: StoredJob) -> Change | None:
        stored = self._store.get(changed.kind, changed.name)
        is_deleted = stored is None or stored.uid != changed.uid
        try:
            return Change(self._store.read(changed if is_deleted or stored is None else stored), is_deleted)
        except UnreadableJobError:
            return None

    def _note(self, job: StoredJob | None) -> None:
        """Called by the store, in any thread."""
        with self._lock:
            is_first = not self._waiting
            if job is None or len(self._waiting) >= MAX_WAITING:
                self._waiting, self._overflowed = {}, True
            else:
                self._waiting[job.kind, job.name, job.uid] = job
        if is_first and self._loop is not None:
            with suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._some.set)
