"""Watches: a client's view of a collection's changes, through its selectors, as a stream.

Made by the reading verbs; fed by the store. A watch that falls too far behind is ended with 410; the client lists anew.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from darkroom_local.apiserver.documents import Json
from darkroom_local.apiserver.errors import StatusError, expired
from darkroom_local.apiserver.selectors import Test
from darkroom_local.apiserver.store import Event, Store, WindowExpiredError

BOOKMARK_SECONDS = 30.0
"""At most this long passes between signs of life of a quiet watch that allows bookmarks (Kubernetes: a minute)."""
LAST_BOOKMARK_SECONDS = 2.0
BACKLOG = 10_000
"""Events that may wait for a slow client."""


@dataclass(frozen=True)
class WatchPlan:
    """What a client wants to see."""

    collection: str
    namespace: str | None
    selects: Test
    since: int | None
    """None: begin with the present objects."""
    bookmarks: bool
    initial_end: bool
    """Mark the end of the present objects with a bookmark (sendInitialEvents)."""
    timeout_seconds: float
    shown: Callable[[Json], Json] = lambda document: document
    """The object in the version that the client watches."""

    def matches(self, document: Json) -> bool:
        return self.selects(self.shown(document))


@dataclass(frozen=True)
class Change:
    """One line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR with its object."""

    kind: str
    document: Json


class Backlog:
    """Events on their way to one client. One that doesn't fetch them loses them all, rather than some."""

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.is_lost = False

    def hear(self, event: Event) -> None:
        """Called by the store after each write."""
        if event.collection != self._collection or self.is_lost:
            return
        if self._queue.qsize() >= BACKLOG:
            self.is_lost = True
        else:
            self._queue.put_nowait(event)

    def close(self) -> None:
        self._queue.put_nowait(None)

    async def next(self, timeout_seconds: float) -> Event | None:
        """None when the server stops. Raises TimeoutError."""
        return await asyncio.wait_for(self._queue.get(), timeout_seconds)


class WatchHub:
    """All open watches, so that they can be ended together when the server stops."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: set[Backlog] = set()

    def close(self) -> None:
        for backlog in self._open:
            backlog.close()

    def watch(self, plan: WatchPlan) -> AsyncIterator[Change]:
        """Begin to watch. When the wanted events are no longer known the stream is one ERROR event with 410, as
        Kubernetes has it (`newErrWatcher` of apiserver's cacher); clients such as kopf list anew after that alone."""
        return self._stream(plan)

    def _missed(self, plan: WatchPlan) -> list[Change]:
        """The present objects, or what happened since the plan's revision."""
        if plan.since is None:
            items = self._store.items(plan.collection, plan.namespace)
            present = [Change("ADDED", plan.shown(item)) for item in items if plan.matches(item)]
            return present + ([_bookmark(self._store.revision, True)] if plan.initial_end else [])
        if plan.since > self._store.revision:  # The client has seen a state that this store has lost, or never had.
            raise expired(f"resource version {plan.since} is in the future: the newest is {self._store.revision}")
        try:
            events = self._store.events_after(plan.collection, plan.since)
        except WindowExpiredError as error:
            raise expired(str(error)) from error
        return [change for event in events if (change := translate(event, plan))]

    async def _stream(self, plan: WatchPlan) -> AsyncIterator[Change]:
        backlog = Backlog(plan.collection)
        silence = self._store.listen(backlog.hear)
        self._open.add(backlog)
        try:
            for change in self._missed(plan):
                yield change
            async for change in self._live(plan, backlog):
                yield change
        except StatusError as error:
            yield Change("ERROR", error.document())
        finally:
            silence()
            self._open.discard(backlog)

    async def _live(self, plan: WatchPlan, backlog: Backlog) -> AsyncIterator[Change]:
        clock = asyncio.get_running_loop().time
        end = clock() + plan.timeout_seconds
        while (left := end - clock()) > 0:
            # Shortly before the end, too: whoever watches anew from there misses the least.
            pause = left - LAST_BOOKMARK_SECONDS if left > LAST_BOOKMARK_SECONDS else left
            try:
                event = await backlog.next(min(pause, BOOKMARK_SECONDS))
            except TimeoutError:
                if plan.bookmarks:
                    yield _bookmark(self._store.revision, False)
                continue
            if event is None:
                return
            if backlog.is_lost:
                yield Change("ERROR", expired("the watch has fallen behind: list anew").document())
                return
            if change := translate(event, plan):
                yield change


def translate(event: Event, plan: WatchPlan) -> Change | None:
    """An event as a client with this namespace and these selectors sees it, if at all.

    An object that begins to match appears as ADDED, one that ceases to as DELETED.
    """
    metadata = event.document["metadata"]
    if plan.namespace is not None and metadata.get("namespace") != plan.namespace:
        return None
    before = event.previous is not None and plan.matches(event.previous)
    after = event.kind != "DELETED" and plan.matches(event.document)
    if after:
        return Change("MODIFIED" if before else "ADDED", plan.shown(event.document))
    return Change("DELETED", plan.shown(event.document)) if before else None


def _bookmark(revision: int, initial_end: bool) -> Change:
    metadata: Json = {"resourceVersion": str(revision), "creationTimestamp": None}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    return Change("BOOKMARK", {"metadata": metadata})
