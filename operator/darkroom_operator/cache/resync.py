"""Lists everything: once before anybody acts, so that the cache is whole, and then now and then beside the watches.
kopf lists anew after a 410 and shows what is there, but not what is missing: what a list does not have is dropped here.
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

FIRST_AGAIN_SECONDS = 2.0
"""Until the first list is tried again."""
EXPIRED = 410
"""Of a list that took so long that its next page is no longer to be had: a new one may be faster."""
RESYNC_SECONDS = 300.0
SETTLE_SECONDS, SETTLE_TIMES = 2.0, 10
"""A listing shows object after object: one resync serves them all, once none has been shown for so long."""

Pages = AsyncIterator[tuple[str, list[Json]]]


class Resync:
    """One task that lists when it is told to, or when it has not for a while."""

    def __init__(self, kube: KubeClient, cache: Cache, watches: WatchMonitor, changed: Callable[[], None]) -> None:
        self._kube = kube
        self._cache = cache
        self._watch_monitor = watches
        self._changed = changed
        self._wanted = asyncio.Event()
        self._has_listed = False

    def not_begun(self) -> str | None:
        """For the readiness probe: what is missing; None when nothing is."""
        return None if self._has_listed else "not everything was listed yet"

    async def begin(self, alive: Callable[[], None]) -> None:
        """Until everything was listed; `alive` is called at each try. Raises `ApiError` when waiting would not help."""
        while not self._has_listed:
            alive()
            try:
                await self.once()
            except ApiError as error:
                if not error.may_pass and error.code != EXPIRED:
                    raise
                log.warning("the first list: %s", error)
                await asyncio.sleep(FIRST_AGAIN_SECONDS)

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
            await self._settle()
            try:
                await self.once()
            except ApiError as error:
                log.warning("resync: %s", error)
                self._wanted.set()
            self._changed()

    async def _settle(self) -> None:
        """Until nobody asks any more, or long enough: what is asked for from now on is another resync."""
        for _ in range(SETTLE_TIMES):
            self._wanted.clear()
            await asyncio.sleep(SETTLE_SECONDS)
            if not self._wanted.is_set():
                return

    async def once(self) -> None:
        """Raises `ApiError`, and `HistoryLostError` when nothing that is known can be relied on."""
        for kind in Kind:
            newest = max(self._cache.jobs.newest(), self._cache.broken.newest())
            found, version = await self._list(kind.plural, self._kube.list_jobs(kind))
            _require_history(newest, version)
            self._cache.keep_only_jobs(kind, found, version)
        # A pod or Lease may also be missing because its labels are: so it is not taken for gone, only looked for.
        self._cache.pods.forget_others(*await self._list(PODS, self._kube.list_pods(RUNNER_PODS)))
        self._cache.leases.forget_others(*await self._list(LEASES, self._kube.list_leases(SLOTS)))
        self._has_listed = True

    async def _list(self, plural: str, pages: Pages) -> tuple[set[str], int]:
        """What a whole list has, put into the cache: the uids, and the resource version of the list. Its watch has to
        show the same."""
        found: set[str] = set()
        version = newest = 0
        async for text, page in pages:
            found |= uids(page)
            version = int(text)
            for document in page:
                self._cache.see(plural, document)
            newest = max([newest, *(int(document["metadata"]["resourceVersion"]) for document in page)])
        if plural != LEASES:  # Of which the leader's is not in the list.
            self._watch_monitor.expect_no_more(plural, newest)
        self._watch_monitor.expect(plural, newest)
        return found, version


def _require_history(newest: int, version: int) -> None:
    """A list can't be older than what was known before it was asked for, except after a backup was restored."""
    if version < newest:
        raise HistoryLostError(f"the API server is at resource version {version}, and {newest} was seen before")
