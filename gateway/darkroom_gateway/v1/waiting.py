"""Waits for the end of a job: `Prefer: wait=N` (RFC 7240). Called by v1/jobs_router.py and v1/submissions_router.py.

The informer's changes end a wait, so waiting requests cost the API server nothing. Rationale: docs/decisions/0026.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import Context

from darkroom_contract.names import Kind
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.stored_job import StoredJob

MAX_WAIT_SECONDS = 60
TICK_SECONDS = 0.5
"""Interval of the check whether the gateway is stopping: one task for all waits."""

_WAIT = re.compile(r"""wait\s*=\s*"?(\d{1,9})"?""", re.IGNORECASE)


def wait_seconds(prefer: str | None) -> int | None:
    """How long the client prefers to wait, at most `MAX_WAIT_SECONDS`; None if it does not say.

    Preferences that are unknown or malformed are ignored, as RFC 7240 demands. Of two that are equal the first counts.
    """
    for each in (prefer or "").split(","):
        name_and_value = each.partition(";")[0].strip()
        if (found := _WAIT.fullmatch(name_and_value)) is not None:
            return min(int(found[1]), MAX_WAIT_SECONDS)
    return None


class JobWaits:
    """The waits of one gateway. Used on the event loop only, except for `_note`."""

    def __init__(self, store: JobStore, shutdown: Shutdown) -> None:
        self._store = store
        self._shutdown = shutdown
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        """By uid."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticker: asyncio.Task[None] | None = None
        store.listen(self._note)

    @property
    def count(self) -> int:
        return sum(map(len, self._waiting.values()))

    async def until_ended(self, kind: Kind, name: str, uid: str, seconds: float) -> None:
        """Returns when the job has ended or was deleted, after `seconds`, or when the gateway stops."""
        with self._registered(uid) as ended, suppress(TimeoutError):
            # Only now, so that an end between the two is not missed.
            if not self._has_ended(kind, name, uid):
                async with asyncio.timeout(seconds):
                    await ended

    def _has_ended(self, kind: Kind, name: str, uid: str) -> bool:
        stored = self._store.get(kind, name)
        return stored is None or stored.uid != uid or stored.phase.is_terminal

    @contextmanager
    def _registered(self, uid: str) -> Iterator[asyncio.Future[None]]:
        self._loop = asyncio.get_running_loop()
        ended = self._loop.create_future()
        self._waiting.setdefault(uid, set()).add(ended)
        if self._ticker is None or self._ticker.done():
            # In a new context, because it belongs to no request.
            self._ticker = self._loop.create_task(self._end_at_shutdown(), context=Context())
        try:
            yield ended
        finally:
            self._waiting[uid].discard(ended)
            if not self._waiting[uid]:
                del self._waiting[uid]

    def _note(self, job: StoredJob | None) -> None:
        """Called by the store, in any thread. None: all jobs of a kind were removed."""
        if self._loop is None or not self._waiting or (job is not None and job.uid not in self._waiting):
            return
        with suppress(RuntimeError):  # The loop is closed.
            self._loop.call_soon_threadsafe(self._see, job)

    def _see(self, job: StoredJob | None) -> None:
        if job is None:
            for uid in self._waiting:
                self._end(uid)
        elif self._has_ended(job.kind, job.name, job.uid):
            self._end(job.uid)

    def _end(self, uid: str) -> None:
        for each in self._waiting.get(uid, ()):
            if not each.done():
                each.set_result(None)

    async def _end_at_shutdown(self) -> None:
        while self._waiting and not self._shutdown.streams_end.is_set():  # noqa: ASYNC110 (set by signal handlers)
            await asyncio.sleep(TICK_SECONDS)
        for uid in self._waiting:
            self._end(uid)
