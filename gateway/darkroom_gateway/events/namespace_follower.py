"""Follows all jobs for `GET /v1/events`, from the store of the informer and the reader of Redis. Called by the router.

The cost depends on the jobs that change, not on the watchers: each event is rendered once. It begins with the first
watcher and ends `LINGER_SECONDS` after the last. Rationale: docs/decisions/0017-events-fan-out.md.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import Context

from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.followed_runs import FollowedRuns
from darkroom_gateway.events.hub import GATEWAY_STOPPING, PING_SECONDS, TICK_SECONDS, EventHub
from darkroom_gateway.events.job_changes import JobChanges
from darkroom_gateway.events.namespace_feed import NamespaceFeed, NamespaceWatcher, Render
from darkroom_gateway.events.places import Places
from darkroom_gateway.events.ring import Selection
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.redis.progress_streams import EntryId

log = logging.getLogger(__name__)

LINGER_SECONDS = 60.0
"""How long events are kept for clients that reconnect, when there is no watcher."""

CHANGES_AT_ONCE = 20
"""Jobs rendered per iteration of the event loop."""

BACKLOG_SECONDS = 1.0
"""How long the first watcher waits until the progress that precedes its stream is known."""

DROPPED = "More jobs have changed at once than are sent one by one: list the jobs again."


class NamespaceFollower:
    """The stream of all jobs of one gateway. Used on the event loop only."""

    def __init__(
        self,
        changes: JobChanges,
        hub: EventHub,
        render: Render,
        require_watch: Callable[[str], None],
        shutdown: Shutdown,
        root_path: str,
        places: Places,
    ) -> None:
        """`require_watch` raises `GatewayError` while the watch of the API server is lost."""
        self._changes = changes
        self._hub = hub
        self._render = render
        self._require_watch = require_watch
        self._shutdown = shutdown
        self._root_path = root_path
        self._places = places
        self._feed: NamespaceFeed | None = None
        self._task: asyncio.Task[None] | None = None
        self._left_at = 0.0
        """When the last watcher left, by `time.monotonic`."""
        self._backlog_read = asyncio.Event()

    async def join(self, selection: Selection, after: EntryId | None) -> NamespaceWatcher:
        """A new watcher, which must `leave`. Raises `TooManyStreamsError`."""
        self._places.take()
        feed = self._feed or self._open()
        watcher = feed.join(selection, after, self._leave)
        try:
            # A client lists the jobs once the stream has begun: all progress from then on must be in the stream.
            async with asyncio.timeout(BACKLOG_SECONDS):
                await self._backlog_read.wait()
        except TimeoutError:
            pass
        except BaseException:
            watcher.leave()
            raise
        return watcher

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _leave(self, watcher: NamespaceWatcher) -> None:
        self._places.give_back()
        self._left_at = time.monotonic()
        watcher.feed.leave(watcher)

    def _open(self) -> NamespaceFeed:
        feed = self._feed = NamespaceFeed(self._render, self._root_path)
        runs = FollowedRuns(self._hub, feed)
        self._backlog_read = asyncio.Event()
        self._changes.start()
        for job in self._changes.active():
            runs.begin(job)
        if runs.is_backlog_read:
            self._backlog_read.set()
        # In a new context, because its log lines belong to no request.
        self._task = asyncio.get_running_loop().create_task(self._follow(feed, runs), context=Context())
        return feed

    async def _follow(self, feed: NamespaceFeed, runs: FollowedRuns) -> None:
        try:
            await self._send_changes(feed, runs)
        except Exception:
            log.exception("the stream of all events ends, because its task failed")
        finally:
            feed.finish(GATEWAY_STOPPING)
            self._feed = None
            self._changes.stop()
            runs.close()

    async def _send_changes(self, feed: NamespaceFeed, runs: FollowedRuns) -> None:
        pinged = time.monotonic()
        while feed.watchers or time.monotonic() - self._left_at < LINGER_SECONDS:
            await self._changes.wait(TICK_SECONDS)
            self._apply_changes(feed, runs)
            if runs.is_backlog_read:
                self._backlog_read.set()
            if self._shutdown.streams_end.is_set():
                feed.finish(GATEWAY_STOPPING)
            if time.monotonic() - pinged >= PING_SECONDS:
                pinged = time.monotonic()
                feed.ping()
            self._check_watch(feed)
            await asyncio.sleep(0)

    def _apply_changes(self, feed: NamespaceFeed, runs: FollowedRuns) -> None:
        changes = self._changes.take(CHANGES_AT_ONCE)
        if changes is None:
            feed.reset(DROPPED)
            active = {job.uid: job for job in (*self._changes.active(), *runs.jobs)}
            changes = [self._changes.now(job) for job in active.values()]
        for change in changes:
            runs.apply(change)

    def _check_watch(self, feed: NamespaceFeed) -> None:
        try:
            self._require_watch("The state of the jobs")
        except GatewayError as error:
            feed.lose("cluster", error)
        else:
            feed.regain("cluster")
