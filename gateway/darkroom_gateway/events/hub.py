"""Fills the feeds of all watched jobs: one Redis reader for all, and one status check per job and interval.

Called by events/router.py and events/namespace_follower.py. The cost depends on the number of watched jobs, not of
watchers. The tasks start with the first watcher and end `LINGER_SECONDS` after the last. Rationale:
docs/decisions/0017-events-fan-out.md.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from contextvars import Context
from functools import partial
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError, ProgressUnavailableError
from darkroom_gateway.events.feed import JobFeed, JobWatcher, Tap
from darkroom_gateway.events.places import Places
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.redis.progress_streams import BEGINNING, EntryId, ProgressStreams

log = logging.getLogger(__name__)

READ_SECONDS = 0.2
"""How long a read blocks, and with it the maximum delay until a newly watched job is read."""

LINGER_SECONDS = 5.0
"""How long a feed outlives its last watcher, for reconnects. Longer than `RETRY_MILLISECONDS`."""

PING_SECONDS = 15.0

TICK_SECONDS = 0.2

GATEWAY_STOPPING = "GatewayStopping"

Refresh = Callable[[Job], Job | None]
"""Returns the latest version of a job from memory, or None when it no longer exists. Raises `GatewayError`."""


class EventHub:
    """The feeds of one gateway. Used on the event loop only."""

    def __init__(
        self,
        refresh: Refresh,
        progress_streams: ProgressStreams,
        poll_seconds: float,
        shutdown: Shutdown,
        root_path: str,
        places: Places,
    ) -> None:
        self._refresh = refresh
        self._progress_streams = progress_streams
        self._poll_seconds = poll_seconds
        self._shutdown = shutdown
        self._root_path = root_path
        self._places = places
        self._feeds: dict[str, JobFeed] = {}
        self._reader: asyncio.Task[None] | None = None
        self._housekeeper: asyncio.Task[None] | None = None
        self._followers: dict[str, asyncio.Task[None]] = {}

    def join(self, job: Job, after: EntryId | None) -> JobWatcher:
        """A new watcher of the job, which must `leave`. Raises `TooManyStreamsError`."""
        self._places.take()
        return self._feed_of(job).join(after, self._leave)

    def _leave(self, watcher: JobWatcher) -> None:
        self._places.give_back()
        watcher.feed.leave(watcher)

    def tap(self, job: Job, tap: Tap) -> JobFeed:
        """The feed of the job, which gives its progress to `tap` until `untap`."""
        feed = self._feed_of(job)
        feed.taps.add(tap)
        return feed

    def untap(self, feed: JobFeed, tap: Tap) -> None:
        feed.taps.discard(tap)
        feed.left_at = time.monotonic()

    def _feed_of(self, job: Job) -> JobFeed:
        feed = self._feeds.get(job.uid)
        if feed is None:
            return self._add_feed(job)
        if int(job.resource_version) > int(feed.job.resource_version):
            feed.see(job)
        return feed

    async def close(self) -> None:
        tasks = [each for each in (self._reader, self._housekeeper, *self._followers.values()) if each is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add_feed(self, job: Job) -> JobFeed:
        feed = self._feeds[job.uid] = JobFeed(job, self._root_path)
        if self._shutdown.streams_end.is_set():
            feed.finish(GATEWAY_STOPPING)
        self._followers[job.uid] = self._start(self._follow(feed), [job.uid])
        if self._reader is None or self._reader.done():
            self._reader = self._start(self._read_progress(), self._feeds)
        if self._housekeeper is None or self._housekeeper.done():
            self._housekeeper = self._start(self._maintain(), self._feeds)
        return feed

    def _start(self, work: Coroutine[Any, Any, None], uids: Collection[str]) -> asyncio.Task[None]:
        """Start a task that serves the feeds of these jobs."""
        # In a new context, because its log lines belong to no request.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(partial(self._end_after_failure, uids))
        return task

    def _end_after_failure(self, uids: Collection[str], task: asyncio.Task[None]) -> None:
        """After a bug in a task, end its streams instead of leaving them silent."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("event streams end, because their task failed", exc_info=error)
            for uid in [uid for uid in uids if uid in self._feeds]:
                self._drop(uid).finish(GATEWAY_STOPPING)

    def _drop(self, uid: str) -> JobFeed:
        self._followers.pop(uid).cancel()
        return self._feeds.pop(uid)

    # --- jobs ------------------------------------------------------------------------------------------------------

    async def _follow(self, feed: JobFeed) -> None:
        """Refresh the job once per interval until it has ended."""
        while not feed.is_ending and feed.end is None:
            await asyncio.sleep(self._poll_seconds)
            try:
                job = self._refresh(feed.job)
            except GatewayError as error:
                feed.lose("cluster", error)
                continue
            feed.regain("cluster")
            if job is None:
                feed.end_with("Deleted")
            else:
                feed.see(job)

    # --- progress --------------------------------------------------------------------------------------------------

    async def _read_progress(self) -> None:
        """Read the streams of all feeds, as long as there are feeds."""
        is_lost, checked = False, time.monotonic()
        while self._feeds:
            feeds = {uid: feed for uid, feed in self._feeds.items() if feed.end is None}
            if not feeds:
                await asyncio.sleep(READ_SECONDS)
                continue
            try:
                if is_lost or time.monotonic() - checked >= self._poll_seconds:
                    await self._restart_lost_streams(feeds)
                    checked = time.monotonic()
                await self._read_once(feeds)
                is_lost = False
            except ProgressUnavailableError as error:
                is_lost = True
                for feed in feeds.values():
                    feed.lose("progress", error)
                await asyncio.sleep(self._poll_seconds)

    async def _read_once(self, feeds: dict[str, JobFeed]) -> None:
        for feed in feeds.values():
            feed.history.reads_begun += 1
        wait_seconds = 0.0 if any(feed.is_urgent for feed in feeds.values()) else READ_SECONDS
        positions = {uid: feed.history.read_until for uid, feed in feeds.items()}
        reading = await self._progress_streams.read(positions, wait_seconds)
        for uid, feed in feeds.items():
            refusal = reading.refused.get(uid)
            if refusal is not None:
                feed.lose("progress", refusal)
                continue
            feed.regain("progress")
            entries = reading.entries.get(uid, [])
            feed.add(entries, to_end=len(entries) < reading.limit)

    async def _restart_lost_streams(self, feeds: dict[str, JobFeed]) -> None:
        """A stream whose latest entry is older than the last one read was lost and restarted. Reads don't show that."""
        begun = [uid for uid, feed in feeds.items() if feed.history.read_until != BEGINNING]
        for uid, newest in (await self._progress_streams.newest(begun)).items():
            if newest is None or newest < feeds[uid].history.read_until:
                feeds[uid].restart()

    # --- housekeeping ----------------------------------------------------------------------------------------------

    async def _maintain(self) -> None:
        """Send pings, drop unwatched feeds, and end all streams at shutdown.

        The server aborts connections whose client reads nothing (http/protocol.py).
        """
        while self._feeds:
            await asyncio.sleep(TICK_SECONDS)
            if self._shutdown.streams_end.is_set():
                for feed in self._feeds.values():
                    feed.finish(GATEWAY_STOPPING)
            now = time.monotonic()
            for uid, feed in list(self._feeds.items()):
                if not feed.watchers and not feed.taps and now - feed.left_at >= LINGER_SECONDS:
                    self._drop(uid)
                elif now - feed.wakes.last_woken >= PING_SECONDS:
                    feed.ping()
