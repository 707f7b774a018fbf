"""Reads the newest progress of running jobs from Redis into the cache.

Redis is optional: without it statuses show no progress, and nothing else changes.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from pydantic import ValidationError
from redis.exceptions import RedisError

from darkroom_contract.progress import STREAM_FIELD, ProgressEvent, read_stream_entries, stream_name
from darkroom_operator.cache.cache import Cache
from darkroom_operator.cache.redis_connection import open_redis
from darkroom_operator.kube.objects import aware

log = logging.getLogger(__name__)

POLL_SECONDS = 1.5
"""Also the shortest interval between two progress updates of a status."""


class ProgressReader:
    """A task that polls the streams of the jobs that hold slots."""

    def __init__(self, url: str, cache: Cache, changed: Callable[[], None], clock: Callable[[], datetime]) -> None:
        """`clock` is the API server's. Raises `SettingsError` for an invalid address."""
        self._clock = clock
        self._newest: dict[str, str] = {}
        """The id of the last entry that was read, by the job's uid."""
        self._cache = cache
        self._changed = changed
        self._warned = False
        self._unreadable: str | None = None
        self._redis = open_redis(url)

    async def run(self) -> None:
        try:
            while True:
                await self._poll()
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._redis.aclose()

    async def _poll(self) -> None:
        holders = {slot.holder for slot in self._cache.leases.view.values() if slot.holder}
        for finished in self._cache.progress.keys() - holders:
            del self._cache.progress[finished]
            self._newest.pop(finished, None)
        try:
            for uid in holders:
                await self._read(uid)
            self._warned = False
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            if not self._warned:
                log.warning("Redis is unreachable, statuses show no live progress: %s", error)
            self._warned = True

    async def _read(self, uid: str) -> None:
        newest = read_stream_entries(await self._redis.xrevrange(stream_name(uid), count=1))
        if not newest:
            return
        entry, fields = newest[0]
        if entry == self._newest.get(uid) and uid in self._cache.progress:
            return
        try:
            event = ProgressEvent.model_validate_json(fields[STREAM_FIELD])
        except (ValidationError, KeyError) as error:
            if entry != self._unreadable:
                log.warning("the progress event of job %s is invalid: %s", uid, error)
            self._unreadable = entry
            return
        self._newest[uid] = entry
        # A node's clock may be ahead: an estimated end that is counted from the future would never come closer.
        # A preview is for those who watch the event stream: no status has one.
        update = {"time": min(aware(event.time), self._clock()), "preview": None}
        self._cache.progress[uid] = event.model_copy(update=update)
        self._changed()
