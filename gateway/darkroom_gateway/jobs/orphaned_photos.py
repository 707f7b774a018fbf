"""Removes the photos and start pictures of failed submissions, with retries until object storage responds. Used by
jobs/uploaded_files.py.

While it is unknown whether a submission created its job, its photos are kept, because a job without photos would be
worse than photos without a job. Removals run one at a time, so that after an outage they use only one of the concurrent
calls.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine

import anyio

from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLEAN_UP_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import GatewayError, StorageUnavailableError
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
TRIES = 65
"""About an hour of retries, or half a day while it is unknown whether a job has the photos."""
SETTLE_SECONDS = 600.0
"""A request that reached the API server has taken effect by then, or never will: the server's limit is a minute."""
MAX_PENDING = 1000
"""Maximum number of submissions whose photos wait for removal. Beyond it, photos are left and logged."""

Uploads = dict[str, "asyncio.Task[None]"]
"""The keys of photos, and the calls that store them. An abandoned call may still write its photo."""


class OrphanedPhotos:
    """Photos that no job uses."""

    def __init__(self, storage: ObjectStorage, backend: Backend) -> None:
        self._storage = storage
        self._backend = backend
        self._pending: dict[asyncio.Task[None], str] = {}
        self._lock = anyio.Lock()

    async def remove(self, uploads: Uploads) -> None:
        """Remove the photos. Returns after at most `CLEAN_UP_SECONDS`; the removal continues in the background."""
        task = self._begin(uploads, self._remove(uploads))
        if task is not None:
            await asyncio.wait({task}, timeout=CLEAN_UP_SECONDS)

    def remove_unless_used(self, uploads: Uploads, is_used: Callable[[], Awaitable[bool]]) -> None:
        """Remove the photos in the background once `is_used` returns False. It may raise a `GatewayError`."""
        self._begin(uploads, self._remove_unless_used(uploads, is_used))

    async def close(self) -> None:
        """Cancel pending removals and log them, because the process exits."""
        for task, example in list(self._pending.items()):
            log.error("orphaned photos, such as %s: the gateway is stopping before object storage responds", example)
            task.cancel()

    def _begin(self, uploads: Uploads, work: Coroutine[None, None, None]) -> "asyncio.Task[None] | None":
        if not uploads or len(self._pending) >= MAX_PENDING:
            work.close()
            if uploads:
                log.error("orphaned photos, such as %s: %d removals are pending", next(iter(uploads)), MAX_PENDING)
            return None
        task = asyncio.create_task(work)
        self._pending[task] = next(iter(uploads))
        task.add_done_callback(lambda ended: self._pending.pop(ended, None))
        return task

    async def _remove_unless_used(self, uploads: Uploads, is_used: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(TRIES):
            await asyncio.sleep(SETTLE_SECONDS)
            try:
                if not await is_used():
                    await self._remove(uploads)
            except GatewayError as error:
                log.warning("it is still unknown whether a job has photos such as %s: %s", next(iter(uploads)), error)
            else:
                return
        log.error("orphaned photos, such as %s: it is unknown whether a job has them", next(iter(uploads)))

    async def _remove(self, uploads: Uploads) -> None:
        await asyncio.wait(set(uploads.values()))
        left, pause = list(uploads), FIRST_PAUSE_SECONDS
        for _ in range(TRIES):
            error = await self._remove_all(left)
            if error is None:
                return
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
        log.error("orphaned photos, such as %s: %s", left[0], error)

    async def _remove_all(self, left: list[str]) -> StorageUnavailableError | None:
        """Removes the objects and their keys from `left`; returns the error that stopped it."""
        async with self._lock:
            while left:
                try:
                    await self._backend.call(STORAGE_SECONDS, self._storage.delete, left[:1])
                except StorageUnavailableError as error:
                    return error
                left.pop(0)
        return None
