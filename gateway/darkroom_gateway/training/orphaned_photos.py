"""Removes the photos of submissions that failed: at once where object storage answers, otherwise as soon as it does.

When it is unknown whether a submission created its job, the photos stay until that is known: a job without its photos
would be worse than photos without a job. Used by training/service.py. One removal at a time, so that an outage with
many of them takes one call from everybody else.
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
"""About an hour of them, and half a day while it is unknown whether a job has the photos."""
SETTLE_SECONDS = 600.0
"""Within these a request that reached the API server has an effect or never will: its own limit for one is a minute."""
MAX_PENDING = 1000
"""Submissions whose photos wait for their removal. Beyond that they are left, and the log names them."""

Uploads = dict[str, "asyncio.Task[None]"]
"""The keys of photos, and the calls that store them: one that was given up may still write its photo."""


class OrphanedPhotos:
    """Photos that no job will use."""

    def __init__(self, storage: ObjectStorage, backend: Backend) -> None:
        self._storage = storage
        self._backend = backend
        self._pending: dict[asyncio.Task[None], str] = {}
        self._one = anyio.Lock()

    async def remove(self, uploads: Uploads) -> None:
        """Returns once they are removed, or after `CLEAN_UP_SECONDS`: their removal then goes on behind the answer."""
        task = self._begin(uploads, self._remove(uploads))
        if task is not None:
            await asyncio.wait({task}, timeout=CLEAN_UP_SECONDS)

    def remove_unless_used(self, uploads: Uploads, is_used: Callable[[], Awaitable[bool]]) -> None:
        """Remove them in the background, once `is_used` says that no job has them; it may raise a `GatewayError`."""
        self._begin(uploads, self._remove_unless_used(uploads, is_used))

    async def close(self) -> None:
        """Give up what has not been removed, by name: the process ends."""
        for task, example in list(self._pending.items()):
            log.error("left photos behind, such as %s: the gateway ends before object storage answers", example)
            task.cancel()

    def _begin(self, uploads: Uploads, work: Coroutine[None, None, None]) -> "asyncio.Task[None] | None":
        if not uploads or len(self._pending) >= MAX_PENDING:
            work.close()
            if uploads:
                log.error("left photos behind, such as %s: %d removals are waiting", next(iter(uploads)), MAX_PENDING)
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
                log.warning("it is unknown so far whether a job has photos such as %s: %s", next(iter(uploads)), error)
            else:
                return
        log.error("left photos behind, such as %s: it is unknown whether a job has them", next(iter(uploads)))

    async def _remove(self, uploads: Uploads) -> None:
        await asyncio.wait(set(uploads.values()))
        left, pause = list(uploads), FIRST_PAUSE_SECONDS
        for _ in range(TRIES):
            error = await self._remove_all(left)
            if error is None:
                return
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
        log.error("left photos behind, such as %s: %s", left[0], error)

    async def _remove_all(self, left: list[str]) -> StorageUnavailableError | None:
        """Takes keys out of `left` as they are removed; the error that ended it."""
        async with self._one:
            while left:
                try:
                    await self._backend.call(STORAGE_SECONDS, self._storage.delete, left[:1])
                except StorageUnavailableError as error:
                    return error
                left.pop(0)
        return None
