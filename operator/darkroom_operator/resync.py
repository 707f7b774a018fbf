"""Finds objects that are gone without anybody having said so: kopf lists anew after a 410 and shows what is there, but
not what is missing. Runs beside the watches; a list now and then, dropped from the cache what it does not have.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from darkroom_contract.names import Kind
from darkroom_operator.cache import Cache, uids
from darkroom_operator.cluster import RUNNER_PODS, Cluster
from darkroom_operator.documents import Json
from darkroom_operator.errors import ApiError, HistoryLostError
from darkroom_operator.slot import SLOTS
from darkroom_operator.watches import LEASES, PODS, Watches

log = logging.getLogger(__name__)

RESYNC_SECONDS = 300.0
SETTLE_SECONDS = 2.0
"""A listing shows object after object: one resync serves them all."""

Pages = AsyncIterator[tuple[str, list[Json]]]


class Resync:
    """One task that lists when it is told to, or when it has not for a while."""

    def __init__(self, cluster: Cluster, cache: Cache, watches: Watches, changed: Callable[[], None]) -> None:
        self._cluster = cluster
        self._cache = cache
        self._watches = watches
        self._changed = changed
        self._wanted = asyncio.Event()

    def request(self) -> None:
        """A watch has begun anew."""
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass  # Nobody asked: it is time anyway.
            await asyncio.sleep(SETTLE_SECONDS)
            self._wanted.clear()
            try:
                await self.once()
            except ApiError as error:
                log.warning("resync: %s", error)
                self._wanted.set()
            self._changed()

    async def once(self) -> None:
        """Raises `ApiError`, and `HistoryLostError` when nothing that is known can be relied on."""
        for kind in Kind:
            newest = max(self._cache.jobs.newest(), self._cache.broken.newest())
            found, version = await self._list(kind.plural, self._cluster.list_jobs(kind))
            _require_history(newest, version)
            self._cache.keep_only_jobs(kind, found, version)
        # A pod or Lease may also be missing because its labels are: so it is not taken for gone, only looked for.
        self._cache.pods.forget_others(*await self._list(PODS, self._cluster.list_pods(RUNNER_PODS)))
        self._cache.leases.forget_others(*await self._list(LEASES, self._cluster.list_leases(SLOTS)))

    async def _list(self, plural: str, pages: Pages) -> tuple[set[str], int]:
        """The uids of a whole list, and its resource version. Its watch has to show what is in it."""
        found: set[str] = set()
        version = newest = 0
        async for text, page in pages:
            found |= uids(page)
            version = int(text)
            newest = max([newest, *(int(document["metadata"]["resourceVersion"]) for document in page)])
        self._watches.expect(plural, newest)
        return found, version


def _require_history(newest: int, version: int) -> None:
    """A list can't be older than what was known before it was asked for, except after a backup was restored."""
    if version < newest:
        raise HistoryLostError(f"the API server is at resource version {version}, and {newest} was seen before")
