"""Removes the photos of submissions that failed: at once where object storage answers, otherwise as soon as it does.

Used by training.py. One removal at a time, so that an outage with many of them takes one call from everybody else.
"""

import asyncio
import logging

import anyio

from darkroom_gateway.backends import Backend
from darkroom_gateway.deadlines import CLEAN_UP_SECONDS, STORAGE_SECONDS
from darkroom_gateway.errors import StorageUnavailableError
from darkroom_gateway.storage import Storage

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0
TRIES = 65
"""About an hour of them."""
MAX_PENDING = 1000
"""Submissions whose photos wait for their removal. Beyond that they are left, and the log names them."""

Uploads = dict[str, "asyncio.Task[None]"]
"""The keys of photos, and the calls that store them: one that was given up may still write its photo."""


class LeftoverPhotos:
    """Photos that no job will use."""

    def __init__(self, storage: Storage, backend: Backend) -> None:
        self._storage = storage
        self._backend = backend
        self._pending: dict[asyncio.Task[None], str] = {}
        self._one = anyio.Lock()

    async def remove(self, uploads: Uploads) -> None:
        """Returns once they are removed, or after `CLEAN_UP_SECONDS`: their removal then goes on behind the answer."""
        if not uploads:
            return
        example = next(iter(uploads))
        if len(self._pending) >= MAX_PENDING:
            log.error("left photos behind, such as %s: %d other removals are waiting", example, MAX_PENDING)
            return
        task = asyncio.create_task(self._remove(uploads))
        self._pending[task] = example
        task.add_done_callback(lambda ended: self._pending.pop(ended, None))
        await asyncio.wait({task}, timeout=CLEAN_UP_SECONDS)

    async def close(self) -> None:
        """Give up what has not been removed, by name: the process ends."""
        for task, example in list(self._pending.items()):
            log.error("left photos behind, such as %s: the gateway ends before object storage answers", example)
            task.cancel()

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
