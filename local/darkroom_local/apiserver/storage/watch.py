"""Watches: the changes of a collection that match a client's selectors, as a stream.

The store feeds them. A watch that falls too far behind ends with 410, and its client must list again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from darkroom_local.apiserver.apimachinery.errors import StatusError, expired
from darkroom_local.apiserver.apimachinery.selectors import Predicate
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.storage.store import Event, Store, WindowExpiredError

BOOKMARK_SECONDS = 30.0
"""Interval of bookmarks on an idle watch that allows them (Kubernetes: one minute)."""
LAST_BOOKMARK_SECONDS = 2.0
"""A final bookmark this long before the timeout: a watch that resumes there misses the least."""
BACKLOG = 10_000
"""Events buffered for a slow client."""


@dataclass(frozen=True)
class WatchPlan:
    """A parsed watch request."""

    collection: str
    namespace: str | None
    selects: Predicate
    since: int | None
    """A revision; None starts with the existing objects."""
    bookmarks: bool
    initial_end: bool
    """Send a bookmark after the existing objects (sendInitialEvents)."""
    timeout_seconds: float
    convert: Callable[[Json], Json] = lambda document: document
    """Returns an object in the version that the client watches."""

    def matches(self, document: Json) -> bool:
        return self.selects(self.convert(document))


@dataclass(frozen=True)
class Change:
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, with its object."""

    kind: str
    document: Json


class Backlog:
    """Buffered events for one client. On overflow the watch ends: no client sees a stream with gaps."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.has_overflowed = False

    def receive(self, event: Event) -> None:
        """Called by the store after each write."""
        if event.collection != self._collection or self.has_overflowed:
            return
        if self._queue.qsize() >= BACKLOG:
            self.has_overflowed = True
        else:
            self._queue.put_nowait(event)

    def close(self) -> None:
        self._queue.put_nowait(None)

    @property
    def is_empty(self) -> bool:
        return self._queue.empty()

    async def next(self, timeout_seconds: float) -> Event | None:
        """None if the server stops. Raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            return await self._queue.get()


class WatchHub:
    """All open watches, which end together when the server stops."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: set[Backlog] = set()

    def close(self) -> None:
        for backlog in self._open:
            backlog.close()

    def watch(self, plan: WatchPlan) -> AsyncIterator[Change]:
        """Open a watch. If its events are no longer kept, the stream is a single ERROR event with code 410, as in
        Kubernetes (`newErrWatcher` of apiserver's cacher): clients such as kopf list again only after that."""
        return self._stream(plan)

    def _initial_changes(self, plan: WatchPlan) -> list[Change]:
        """The existing objects, or the events since the plan's revision."""
        if plan.since is None:
            items = self._store.items(plan.collection, plan.namespace)
            present = [Change("ADDED", plan.convert(item)) for item in items if plan.matches(item)]
            return present + ([_bookmark(self._store.revision, True)] if plan.initial_end else [])
        if plan.since > self._store.revision:  # From another store, or one that lost its last writes.
            raise expired(f"resource version {plan.since} is in the future: the newest is {self._store.revision}")
        try:
            events = self._store.events_after(plan.collection, plan.since)
        except WindowExpiredError as error:
            raise expired(str(error)) from error
        return [change for event in events if (change := translate(event, plan))]

    async def _stream(self, plan: WatchPlan) -> AsyncIterator[Change]:
        backlog = Backlog(plan.collection)
        unsubscribe = self._store.subscribe(backlog.receive)
        self._open.add(backlog)
        try:
            for change in self._initial_changes(plan):
                yield change
            async for change in self._live(plan, backlog):
                yield change
        except StatusError as error:
            yield Change("ERROR", error.document())
        finally:
            unsubscribe()
            self._open.discard(backlog)

    async def _live(self, plan: WatchPlan, backlog: Backlog) -> AsyncIterator[Change]:
        clock = asyncio.get_running_loop().time
        end = clock() + plan.timeout_seconds
        while (left := end - clock()) > 0:
            pause = left - LAST_BOOKMARK_SECONDS if left > LAST_BOOKMARK_SECONDS else left
            try:
                event = await backlog.next(min(pause, BOOKMARK_SECONDS))
            except TimeoutError:
                # An event may have arrived since the timeout: a bookmark before it would make the client skip it.
                if plan.bookmarks and backlog.is_empty:
                    yield _bookmark(self._store.revision, False)
                continue
            if event is None:
                return
            if backlog.has_overflowed:
                yield Change("ERROR", expired("the watch has fallen behind: list again").document())
                return
            if change := translate(event, plan):
                yield change


def translate(event: Event, plan: WatchPlan) -> Change | None:
    """The change that a client with this namespace and these selectors sees, if any.

    An object that starts to match is ADDED, one that stops matching is DELETED.
    """
    metadata = event.document["metadata"]
    if plan.namespace is not None and metadata.get("namespace") != plan.namespace:
        return None
    before = event.previous is not None and plan.matches(event.previous)
    after = event.kind != "DELETED" and plan.matches(event.document)
    if after:
        return Change("MODIFIED" if before else "ADDED", plan.convert(event.document))
    return Change("DELETED", plan.convert(event.document)) if before else None


def _bookmark(revision: int, initial_end: bool) -> Change:
    metadata: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return Change("BOOKMARK", {"metadata": metadata})
