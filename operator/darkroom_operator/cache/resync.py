"""Lists all objects: once at the start, so that the cache is complete, then periodically and after a watch restarts.

After a 410 kopf lists again and delivers what exists, but not what was deleted meanwhile. A resync drops from the cache
what a complete list does not contain.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from darkroom_contract.names import Kind
from darkroom_operator.cache.cache import Cache, uids
from darkroom_operator.errors import ApiError, HistoryLostError
from darkroom_operator.kube.client import RUNNER_PODS, KubeClient
from darkroom_operator.kube.objects import LEASES, PODS, Json
from darkroom_operator.kube.watch_monitor import WatchMonitor
from darkroom_operator.scheduling.slot import SLOTS

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 2.0
"""Before the first list is retried."""
EXPIRED = 410
"""The status code of a list that took so long that its next page has expired. A new list may be faster."""
RESYNC_SECONDS = 300.0
SETTLE_SECONDS, SETTLE_TIMES = 2.0, 10
"""A watch that restarts delivers object after object: one resync serves them all, after a pause of this length."""

Pages = AsyncIterator[tuple[str, list[Json]]]


class Resync:
    """A task that lists on request and every `RESYNC_SECONDS`."""

    def __init__(
        self, kube: KubeClient, cache: Cache, watch_monitor: WatchMonitor, changed: Callable[[], None]
    ) -> None:
        self._kube = kube
        self._cache = cache
        self._watch_monitor = watch_monitor
        self._changed = changed
        self._requested = asyncio.Event()
        self._has_listed = False

    def readiness_error(self) -> str | None:
        """Why the operator is not ready; None once the cache is complete."""
        return None if self._has_listed else "the first list of all objects is not complete"

    async def list_until_complete(self, record_activity: Callable[[], None]) -> None:
        """List everything, retrying after transient errors; `record_activity` is called at each try. Raises `ApiError`
        when a retry would not help."""
        while not self._has_listed:
            record_activity()
            try:
                await self.once()
            except ApiError as error:
                if not error.is_transient and error.code != EXPIRED:
                    raise
                log.warning("the first list failed, retrying in %.0f s: %s", FIRST_RETRY_SECONDS, error)
                await asyncio.sleep(FIRST_RETRY_SECONDS)

    def request(self) -> None:
        """A watch has restarted."""
        self._requested.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(RESYNC_SECONDS):
                    await self._requested.wait()
            except TimeoutError:
                pass  # The periodic resync is due.
            await self._settle()
            try:
                await self.once()
            except ApiError as error:
                log.warning("resync failed, retrying: %s", error)
                self._requested.set()
            self._changed()

    async def _settle(self) -> None:
        """Wait until requests pause, but not longer than `SETTLE_TIMES`. Later requests start another resync."""
        for _ in range(SETTLE_TIMES):
            self._requested.clear()
            await asyncio.sleep(SETTLE_SECONDS)
            if not self._requested.is_set():
                return

    async def once(self) -> None:
        """List everything once. Raises `ApiError`, and `HistoryLostError` if the cache can't be trusted."""
        for kind in Kind:
            newest = max(self._cache.jobs.newest(), self._cache.unreadable.newest())
            found, version = await self._list(kind.plural, self._kube.list_jobs(kind))
            _require_history(newest, version)
            self._cache.keep_only_jobs(kind, found, version)
        # A pod or Lease may also be missing because it lost its labels, so it is forgotten without a tombstone.
        self._cache.pods.forget_others(*await self._list(PODS, self._kube.list_pods(RUNNER_PODS)))
        self._cache.leases.forget_others(*await self._list(LEASES, self._kube.list_leases(SLOTS)))
        self._has_listed = True

    async def _list(self, plural: str, pages: Pages) -> tuple[set[str], int]:
        """Put a complete list into the cache. Returns its uids and resource version; the watch is expected to deliver
        the same objects."""
        found: set[str] = set()
        version = newest = 0
        async for text, page in pages:
            found |= uids(page)
            version = int(text)
            for document in page:
                self._cache.see(plural, document)
            newest = max([newest, *(int(document["metadata"]["resourceVersion"]) for document in page)])
        if plural != LEASES:  # The list has no leader election Lease, which the watch delivers too.
            self._watch_monitor.cap_expected(plural, newest)
        self._watch_monitor.expect(plural, newest)
        return found, version


def _require_history(newest: int, version: int) -> None:
    """A list can't be older than what was read before it, unless a backup was restored."""
    if version < newest:
        raise HistoryLostError(f"the API server is at resource version {version}, but {newest} was read before")
