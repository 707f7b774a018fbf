"""Informer: keeps a cache of the jobs up to date by one list-and-watch per kind. Started and stopped by services.py.

Each kind has a thread. It uses the same client as all other requests, with its credentials, certificates and proxies.
A watch lasts one second, and the next one continues where it ended. So each watch is a heartbeat: one that ends in time
has delivered every change up to its end; one that does not is lost, whether the API server, the network, a proxy or the
connection hangs.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import anyio

from darkroom_contract.names import Kind
from darkroom_gateway.errors import ClusterUnavailableError, GatewayError
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.watch_stream import HistoryLostError

log = logging.getLogger(__name__)

WATCH_SECONDS = 1
"""Timeout of a watch: the smallest that the API accepts."""

LOST_AFTER_SECONDS = 2.5
"""A watch without a confirmation for this long is lost. Includes the second that a watch lasts."""

FIRST_LIST_SECONDS = 3.0
"""How long a request waits for the first list, in a gateway that has just started."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
"""Exponential backoff after failures, with jitter: each wait is 50% to 100% of the current limit."""


class Cache(Protocol):
    """Where the informer stores documents. Used from its threads."""

    def put(self, document: dict[str, Any], kind: Kind | None = None) -> None:
        """Add or update an object, unless a newer version is stored."""

    def remove(self, kind: Kind, name: str, uid: str) -> None:
        """Remove an object that was deleted."""

    def retain(self, kind: Kind, uids: Iterable[str], version: int) -> None:
        """Remove the objects that a list of this version does not contain."""

    def clear(self, kind: Kind) -> None:
        """Remove all objects of a kind."""


@dataclass(frozen=True)
class Lost:
    """The watch is lost: later changes are unknown."""

    since: datetime
    """Time of the last confirmed state."""
    detail: str


class Informer:
    """Watches both kinds of job, and knows how fresh the cache is."""

    def __init__(self, kube: KubeClient, cache: Cache) -> None:
        self._watchers = [KindWatcher(kind, kube, cache, self._note) for kind in Kind]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tried_in_loop = asyncio.Event()
        self._tried = threading.Event()

    def start(self) -> None:
        """Start the threads. Call it from the event loop that serves requests."""
        self._loop = asyncio.get_running_loop()
        for watcher in self._watchers:
            watcher.start()

    def close(self) -> None:
        """Stop the threads. Blocks until they have ended, at most for some seconds."""
        for watcher in self._watchers:
            watcher.stop()
        for watcher in self._watchers:
            watcher.join(LOST_AFTER_SECONDS)

    @property
    def synced(self) -> bool:
        """Whether both kinds have been listed once."""
        return all(watcher.listed for watcher in self._watchers)

    @property
    def lost(self) -> Lost | None:
        """None while both watches are confirmed. Meaningful once `synced`."""
        latest = min(self._watchers, key=lambda watcher: watcher.confirmed)
        silent_seconds = time.monotonic() - latest.confirmed
        if silent_seconds < LOST_AFTER_SECONDS:
            return None
        since = datetime.fromtimestamp(time.time() - silent_seconds, UTC).replace(microsecond=0)
        detail = latest.failure or "The watch of the API server has stopped: it or the network hangs."
        return Lost(since, f"The answer may be out of date. {detail}")

    async def ready(self) -> None:
        """Wait up to `FIRST_LIST_SECONDS` for the first list. Raises `ClusterUnavailableError` when there is none
        yet."""
        if not self.synced:
            with anyio.move_on_after(FIRST_LIST_SECONDS):
                await self._tried_in_loop.wait()
            self._require_synced()

    def wait_ready(self, seconds: float = FIRST_LIST_SECONDS) -> None:
        """`ready` for worker threads."""
        if not self.synced:
            self._tried.wait(seconds)
            self._require_synced()

    def require_watch(self, what: str) -> None:
        """Raises `ClusterUnavailableError`, saying that `what` is unknown, while the watch is lost."""
        if (lost := self.lost) is not None:
            raise ClusterUnavailableError(f"{what} is unknown. {lost.detail} Try again shortly.")

    def _require_synced(self) -> None:
        if not self.synced:
            failures = [watcher.failure for watcher in self._watchers if watcher.failure]
            detail = failures[0] if failures else "The jobs have not been listed yet. Try again shortly."
            raise ClusterUnavailableError(detail)

    def _note(self) -> None:
        """Called by the threads after the first list of a kind and after failures. Wakes the callers of `ready`."""
        if self.synced or any(watcher.failure for watcher in self._watchers):
            self._tried.set()
            with suppress(RuntimeError):  # The loop is closed.
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._tried_in_loop.set)


class KindWatcher(threading.Thread):
    """Lists and watches one kind until it is stopped."""

    def __init__(self, kind: Kind, kube: KubeClient, cache: Cache, note: Callable[[], None]) -> None:
        super().__init__(name=f"watch-{kind.plural}", daemon=True)
        self._kind = kind
        self._kube = kube
        self._cache = cache
        self._note = note
        self._stopping = threading.Event()
        self._interrupt: Callable[[], None] = lambda: None
        self._failures = 0
        """Consecutive failures."""
        self._version: str | None = None
        """Resource version up to which changes were delivered; None when a new list is needed."""
        self._newest = 0
        """The highest resource version so far."""
        self.listed = False
        self.confirmed = time.monotonic()
        """By the monotonic clock: the cache contains every change up to this time."""
        self.failure = ""
        """Why the last try failed; empty after a success."""

    def stop(self) -> None:
        """Stop the thread, and interrupt its watch."""
        self._stopping.set()
        with suppress(RuntimeError, ValueError, OSError):  # The watch has already ended.
            self._interrupt()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._version is None:
                    self._list()
                else:
                    self._watch(self._version)
            except HistoryLostError as error:
                log.info("listing %s again: %s", self._kind.plural, error)
                self._version = None
                self._pause()
            except GatewayError as error:
                self._fail(str(error))
            except Exception as error:
                # If the thread ended, the cache would never be updated again.
                log.exception("the watch of %s failed", self._kind.plural)
                self._version = None
                self._fail(f"The watch of {self._kind.plural} failed: {error!r}.")

    def _list(self) -> None:
        """List all jobs. At most one page of documents is in memory at a time."""
        began, version = time.monotonic(), ""
        uids: list[str] = []
        for page in self._kube.pages(self._kind):
            version, documents = page.version, page.documents
            if not uids and int(version) < self._newest:
                log.warning("the resource versions of %s restarted: the API server lost its history", self._kind.plural)
                self._cache.clear(self._kind)
            while documents:
                document = documents.pop()
                uids.append(document["metadata"]["uid"])
                self._cache.put(document, self._kind)
        self._cache.retain(self._kind, uids, int(version))
        self._version, self._newest = version, int(version)
        self._confirm(began)

    def _watch(self, version: str) -> None:
        began = time.monotonic()
        for change, document in self._kube.watch(self._kind, version, WATCH_SECONDS, self._opened):
            metadata = document["metadata"]
            if change == "DELETED":
                self._cache.remove(self._kind, metadata["name"], metadata["uid"])
            elif change != "BOOKMARK":
                self._cache.put(document, self._kind)
            self._version = metadata["resourceVersion"]
            self._newest = int(metadata["resourceVersion"])
        ended = time.monotonic()
        self._confirm(min(ended, began + WATCH_SECONDS))
        if ended - began < WATCH_SECONDS / 2:  # The server is stopping, or a proxy does not allow watches.
            self._stopping.wait(FIRST_WAIT_SECONDS)

    def _opened(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        if self._stopping.is_set():
            interrupt()

    def _confirm(self, moment: float) -> None:
        if self._failures:
            log.info("the watch of %s is working again", self._kind.plural)
        self.confirmed = moment
        self.failure, self._failures = "", 0
        if not self.listed:
            self.listed = True
            self._note()

    def _fail(self, failure: str) -> None:
        if self._stopping.is_set():
            return
        self.failure = failure
        if not self._failures:
            log.warning("lost the watch of %s: %s", self._kind.plural, failure)
        if self._failures:  # The resource version may be the cause: list again.
            self._version = None
        self._note()
        self._pause()

    def _pause(self) -> None:
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._stopping.wait(longest * random.uniform(0.5, 1))  # noqa: S311 (no secret)
