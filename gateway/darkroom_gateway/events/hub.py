"""Fills the feeds of all watched jobs: one reader of Redis for all, one look at each job per interval.

Called by jobs/router.py. The cost is that of the jobs that are watched, however many watch them. The tasks begin
with the first watcher and end `LINGER_SECONDS` after the last. docs/decisions/0017-events-fan-out.md says why.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from contextvars import Context
from functools import partial
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError, ProgressUnavailableError, TooManyStreamsError
from darkroom_gateway.events.feed import JobFeed, Watcher
from darkroom_gateway.events.progress_streams import BEGINNING, EntryId, ProgressStreams
from darkroom_gateway.http.shutdown import Shutdown

log = logging.getLogger(__name__)

READ_SECONDS = 0.2
"""How long a read blocks: so late may a job be read for the first time after its first watcher came."""

LINGER_SECONDS = 5.0
"""A feed outlives its last watcher by that, so that one who comes back finds it: longer than `RETRY_MILLISECONDS`."""

PING_SECONDS = 15.0

TICK_SECONDS = 0.2

GATEWAY_STOPPING = "GatewayStopping"

Look = Callable[[Job], Job | None]
"""The same job as it is now, or None when it is gone. From memory, at once; raises `GatewayError` when nobody knows."""


class EventHub:
    """The feeds of one gateway. Used in the event loop alone."""

    def __init__(
        self,
        look: Look,
        progress: ProgressStreams,
        poll_seconds: float,
        shutdown: Shutdown,
        root_path: str,
        max_watchers: int,
    ) -> None:
        self._look = look
        self._progress = progress
        self._poll_seconds = poll_seconds
        self._shutdown = shutdown
        self._root_path = root_path
        self._max_watchers = max_watchers
        self._feeds: dict[str, JobFeed] = {}
        self._watchers = 0
        self._reader: asyncio.Task[None] | None = None
        self._housekeeper: asyncio.Task[None] | None = None
        self._looks: dict[str, asyncio.Task[None]] = {}

    def join(self, job: Job, after: EntryId | None) -> Watcher:
        """A new watcher of the job, who has to `leave`. Raises `TooManyStreamsError`."""
        if self._watchers >= self._max_watchers:
            raise TooManyStreamsError(
                f"This gateway sends {self._max_watchers} streams of events at once, and all are taken. "
                "Try again later, or poll the job's status."
            )
        feed = self._feeds.get(job.uid)
        if feed is None:
            feed = self._begin(job)
        elif int(job.resource_version) > int(feed.job.resource_version):
            feed.see(job)
        self._watchers += 1
        return feed.join(after)

    def leave(self, watcher: Watcher) -> None:
        self._watchers -= 1
        watcher.feed.leave(watcher)

    async def close(self) -> None:
        tasks = [each for each in (self._reader, self._housekeeper, *self._looks.values()) if each is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, job: Job) -> JobFeed:
        feed = self._feeds[job.uid] = JobFeed(job, self._root_path)
        if self._shutdown.streams_end.is_set():
            feed.finish(GATEWAY_STOPPING)
        self._looks[job.uid] = self._start(self._follow(feed), [job.uid])
        if self._reader is None or self._reader.done():
            self._reader = self._start(self._read_progress(), self._feeds)
        if self._housekeeper is None or self._housekeeper.done():
            self._housekeeper = self._start(self._keep_house(), self._feeds)
        return feed

    def _start(self, work: Coroutine[Any, Any, None], uids: Collection[str]) -> asyncio.Task[None]:
        """Start a task that serves the feeds of these jobs."""
        # A context of its own: the lines that it logs belong to no request.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(partial(self._end_after_failure, uids))
        return task

    def _end_after_failure(self, uids: Collection[str], task: asyncio.Task[None]) -> None:
        """A defect in a task ends its streams, so that nobody waits for what will never come."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("streams of events end: a task of theirs failed", exc_info=error)
            for uid in [uid for uid in uids if uid in self._feeds]:
                self._drop(uid).finish(GATEWAY_STOPPING)

    def _drop(self, uid: str) -> JobFeed:
        self._looks.pop(uid).cancel()
        return self._feeds.pop(uid)

    # --- jobs ------------------------------------------------------------------------------------------------------

    async def _follow(self, feed: JobFeed) -> None:
        """One look at the job per interval, until it has come to its end."""
        while not feed.is_ending and feed.end is None:
            await asyncio.sleep(self._poll_seconds)
            try:
                job = self._look(feed.job)
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
        """Reads the streams of all feeds, as long as there are any."""
        is_lost, checked = False, time.monotonic()
        while self._feeds:
            feeds = {uid: feed for uid, feed in self._feeds.items() if feed.end is None}
            if not feeds:
                await asyncio.sleep(READ_SECONDS)
                continue
            try:
                if is_lost or time.monotonic() - checked >= self._poll_seconds:
                    await self._find_lost_streams(feeds)
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
        reading = await self._progress.read(positions, wait_seconds)
        for uid, feed in feeds.items():
            refusal = reading.refused.get(uid)
            if refusal is not None:
                feed.lose("progress", refusal)
                continue
            feed.regain("progress")
            entries = reading.entries.get(uid, [])
            feed.add(entries, to_end=len(entries) < reading.limit)

    async def _find_lost_streams(self, feeds: dict[str, JobFeed]) -> None:
        """A stream whose last entry is older than what was read of it has begun again. A read alone would not tell."""
        begun = [uid for uid, feed in feeds.items() if feed.history.read_until != BEGINNING]
        for uid, newest in (await self._progress.newest(begun)).items():
            if newest is None or newest < feeds[uid].history.read_until:
                feeds[uid].begin_again()

    # --- housekeeping ----------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Pings, feeds that nobody watches any more, and the end of the gateway.

        A connection that takes nothing is ended by the server (http/protocol.py), which frees its place.
        """
        while self._feeds:
            await asyncio.sleep(TICK_SECONDS)
            if self._shutdown.streams_end.is_set():
                for feed in self._feeds.values():
                    feed.finish(GATEWAY_STOPPING)
            now = time.monotonic()
            for uid, feed in list(self._feeds.items()):
                if not feed.watchers and now - feed.left_at >= LINGER_SECONDS:
                    self._drop(uid)
                elif now - feed.last_woken >= PING_SECONDS:
                    feed.ping()
