"""Logs of runs in object storage, read once for all that follow them. Used by events/log_stream.py.

A run stores its whole log again every few seconds. So a read first asks for the version of the object.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.storage.client import ObjectStorage


@dataclass(slots=True)
class _Log:
    followers: int = 0
    etag: str | None = None
    text: bytes = b""
    begun: float = 0.0
    """When the latest read began, by `time.monotonic`."""
    read: "asyncio.Task[None] | None" = None


class SharedLogs:
    """The followed logs by key. Used on the event loop only."""

    def __init__(self, storage: ObjectStorage, calls: Backend) -> None:
        self._storage = storage
        self._calls = calls
        self._logs: dict[str, _Log] = {}

    @contextmanager
    def follow(self, key: str) -> Iterator[None]:
        """Keep a log in memory. `read` needs it."""
        log = self._logs.setdefault(key, _Log())
        log.followers += 1
        try:
            yield
        finally:
            log.followers -= 1
            if not log.followers:
                del self._logs[key]

    async def read(self, key: str, since: float) -> bytes:
        """The log as it was at the time `since` or later; empty without one. Raises `StorageUnavailableError`."""
        log = self._logs[key]
        while log.read is not None and not log.read.done() and log.begun < since:
            await asyncio.wait({log.read})
        if log.read is None or log.begun < since:
            log.begun = time.monotonic()
            log.read = asyncio.create_task(self._read(key, log))
            log.read.add_done_callback(_retrieve_error)
        # One that leaves must not take the read away from the others.
        await asyncio.shield(log.read)
        return log.text

    async def _read(self, key: str, log: _Log) -> None:
        etag = await self._calls.call(STORAGE_SECONDS, self._storage.etag, key)
        if etag is not None and etag != log.etag:
            text = await self._calls.call(STORAGE_SECONDS, self._storage.read, key)
            if text is not None:
                log.etag, log.text = etag, text


def _retrieve_error(read: "asyncio.Task[None]") -> None:
    """Nobody may be left to await it."""
    if not read.cancelled():
        read.exception()
