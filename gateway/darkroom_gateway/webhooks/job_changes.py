"""Changes of the jobs that have a webhook, from the threads that store them to the event loop. Used by outbox.py."""

import asyncio
import threading
from contextlib import suppress

from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.stored_job import StoredJob


class WebhookJobChanges:
    """Listens to the store from its construction on, so that it misses no job. Holds the latest version of each job
    that changed, and nothing of jobs without a webhook."""

    def __init__(self, store: JobStore) -> None:
        self._lock = threading.Lock()
        self._reporting: set[str] = set()
        """Uids of jobs that may still report, so that their end is noticed too."""
        self._changed: dict[str, StoredJob] = {}
        self._all_removed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._some = asyncio.Event()
        store.listen(self._note)

    async def wait(self, seconds: float) -> None:
        """Until there is a change to take, or for this long."""
        self._loop = asyncio.get_running_loop()
        with self._lock:
            if self._changed or self._all_removed:
                return
            self._some.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):  # `wait_for` of Python 3.11 may swallow a cancellation.
                await self._some.wait()

    def take(self) -> tuple[list[StoredJob], bool]:
        """The jobs that changed, and whether all jobs of a kind were removed at once, which names none of them."""
        with self._lock:
            changed, self._changed = list(self._changed.values()), {}
            all_removed, self._all_removed = self._all_removed, False
        return changed, all_removed

    def _note(self, job: StoredJob | None) -> None:
        """Called by the store, in any thread and under its lock."""
        with self._lock:
            if job is None:
                self._all_removed = True
            elif job.reports:
                self._reporting.add(job.uid)
                self._changed[job.uid] = job
            elif job.uid in self._reporting:
                self._reporting.discard(job.uid)
                self._changed[job.uid] = job
            else:
                return
        if self._loop is not None:
            with suppress(RuntimeError):  # The loop is closed.
                self._loop.call_soon_threadsafe(self._some.set)
