"""Keeps the job store up to date: one list-and-watch of each kind, however many ask. Started and ended by services.py.

Each kind has a thread, on the same client as every other request: credentials, their renewal, certificates and proxies
work here as there. A watch lasts one second, and the next goes on where it ended. That makes it its own heartbeat: one
that ends in time has delivered everything up to its end, and one that doesn't is lost, whatever went silent: the API
server, the network, a proxy in between or that one connection.
"""

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from darkroom_contract.names import Kind
from darkroom_gateway.errors import ClusterUnavailableError, GatewayError
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.watch_stream import HistoryLostError

log = logging.getLogger(__name__)

WATCH_SECONDS = 1
"""How long a watch lasts: the API's smallest number."""

LOST_AFTER_SECONDS = 2.5
"""A watch that has confirmed nothing for this long is lost. One second of it is the watch's own."""

FIRST_LIST_SECONDS = 3.0
"""How long a request waits for the first list of a gateway that has just started."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 5.0
"""Between tries after a failure, doubled each time; each wait is a random half to whole of that."""


@dataclass(frozen=True)
class Lost:
    """Nothing is known of later changes."""

    since: datetime
    """Until then everything was seen."""
    detail: str


class Informer:
    """What is known of the jobs, and how well."""

    def __init__(self, cluster: KubeClient, store: JobStore) -> None:
        self._watchers = [KindWatcher(kind, cluster, store, self._note) for kind in Kind]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tried_in_loop = asyncio.Event()
        self._tried = threading.Event()

    def start(self) -> None:
        """From the event loop that serves requests."""
        self._loop = asyncio.get_running_loop()
        for watcher in self._watchers:
            watcher.start()

    def close(self) -> None:
        """End the threads. Blocks for a moment, seldom for longer than that."""
        for watcher in self._watchers:
            watcher.stop()
        for watcher in self._watchers:
            watcher.join(LOST_AFTER_SECONDS)

    @property
    def synced(self) -> bool:
        """Whether all jobs of both kinds have been listed once."""
        return all(watcher.listed for watcher in self._watchers)

    @property
    def lost(self) -> Lost | None:
        """None while changes are seen as they happen. Has a meaning once `synced`."""
        latest = min(self._watchers, key=lambda watcher: watcher.confirmed)
        silent_seconds = time.monotonic() - latest.confirmed
        if silent_seconds < LOST_AFTER_SECONDS:
            return None
        since = datetime.fromtimestamp(time.time() - silent_seconds, UTC).replace(microsecond=0)
        detail = latest.failure or "The API server shows no changes: it or the network stands still."
        return Lost(since, f"The answer may be out of date. {detail}")

    async def ready(self) -> None:
        """Wait for the first list, for a moment. Raises `ClusterUnavailableError` when there is none yet."""
        if not self.synced:
            with anyio.move_on_after(FIRST_LIST_SECONDS):
                await self._tried_in_loop.wait()
            self._require_synced()

    def wait_ready(self, seconds: float = FIRST_LIST_SECONDS) -> None:
        """The same for worker threads."""
        if not self.synced:
            self._tried.wait(seconds)
            self._require_synced()

    def require_watch(self, what: str) -> None:
        """Raises `ClusterUnavailableError` when `what` is unknown because the watch is lost."""
        if (lost := self.lost) is not None:
            raise ClusterUnavailableError(f"{what} is unknown. {lost.detail} Try again shortly.")

    def _require_synced(self) -> None:
        if not self.synced:
            failures = [watcher.failure for watcher in self._watchers if watcher.failure]
            detail = failures[0] if failures else "The jobs have not been read from the cluster yet. Try again shortly."
            raise ClusterUnavailableError(detail)

    def _note(self) -> None:
        """Called by the threads when a kind was listed for the first time, or can't be: who waits learns which."""
        if self.synced or any(watcher.failure for watcher in self._watchers):
            self._tried.set()
            with suppress(RuntimeError):  # The loop has ended.
                if self._loop is not None:
                    self._loop.call_soon_threadsafe(self._tried_in_loop.set)


class KindWatcher(threading.Thread):
    """Lists and watches one kind, until it is stopped."""

    def __init__(self, kind: Kind, cluster: KubeClient, store: JobStore, note: Callable[[], None]) -> None:
        super().__init__(name=f"watch-{kind.plural}", daemon=True)
        self._kind = kind
        self._cluster = cluster
        self._store = store
        self._note = note
        self._stopping = threading.Event()
        self._interrupt: Callable[[], None] = lambda: None
        self._failures = 0
        """In a row."""
        self._version: str | None = None
        """Up to which changes were seen; None when everything is to be listed."""
        self._newest = 0
        """The greatest version so far."""
        self.listed = False
        self.confirmed = time.monotonic()
        """By the monotonic clock: everything that happened until then is in the store."""
        self.failure = ""
        """Why the last try failed; empty after one that did not."""

    def stop(self) -> None:
        """Ask the thread to end, whatever it waits for."""
        self._stopping.set()
        with suppress(RuntimeError, ValueError, OSError):  # The watch has ended by itself.
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
                # A thread that ends would leave the store as it is for ever.
                log.exception("the watch of %s failed", self._kind.plural)
                self._version = None
                self._fail(f"The watch of {self._kind.plural} failed: {error!r}.")

    def _list(self) -> None:
        """Into the store page by page, job by job: in memory there is never more than one page."""
        began, version = time.monotonic(), ""
        uids: list[str] = []
        for page in self._cluster.pages(self._kind):
            version, documents = page.version, page.documents
            if not uids and int(version) < self._newest:
                log.warning("the versions of %s began anew: the API server lost its past", self._kind.plural)
                self._store.clear(self._kind)
            while documents:
                document = documents.pop()
                uids.append(document["metadata"]["uid"])
                self._store.put(document, self._kind)
        self._store.retain(self._kind, uids, int(version))
        self._version, self._newest = version, int(version)
        self._confirm(began)

    def _watch(self, version: str) -> None:
        began = time.monotonic()
        for change, document in self._cluster.watch(self._kind, version, WATCH_SECONDS, self._opened):
            metadata = document["metadata"]
            if change == "DELETED":
                self._store.remove(self._kind, metadata["name"], metadata["uid"])
            elif change != "BOOKMARK":
                self._store.put(document, self._kind)
            self._version = metadata["resourceVersion"]
            self._newest = int(metadata["resourceVersion"])
        ended = time.monotonic()
        self._confirm(min(ended, began + WATCH_SECONDS))
        if ended - began < WATCH_SECONDS / 2:  # A server that stops, or a proxy that allows no watches.
            self._stopping.wait(FIRST_WAIT_SECONDS)

    def _opened(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        if self._stopping.is_set():
            interrupt()

    def _confirm(self, moment: float) -> None:
        if self._failures:
            log.info("%s are seen again as they change", self._kind.plural)
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
            log.warning("%s are not seen as they change: %s", self._kind.plural, failure)
        if self._failures:  # What the watch goes on from may be the fault itself.
            self._version = None
        self._note()
        self._pause()

    def _pause(self) -> None:
        longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._stopping.wait(longest * random.uniform(0.5, 1))  # noqa: S311 (no secret)
