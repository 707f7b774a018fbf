"""The events of one job for all its watchers: the latest status, the history of progress, and the end.

events/hub.py fills a feed, and events/stream.py sends what a `Watcher` takes from it. Watchers have no queues but a
position in the shared history, so slow watchers cost nothing. One that falls behind the history continues with its
oldest event. Of several missed statuses it gets the latest. This module does no I/O.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.frames import PING, end_frame, status_frame, warning_frame
from darkroom_gateway.events.history import History
from darkroom_gateway.events.progress_streams import Entry, EntryId
from darkroom_gateway.jobs.run_file_paths import FileAddresses
from darkroom_gateway.jobs.serializers import phase_of

log = logging.getLogger(__name__)

WOKEN_AT_ONCE = 100
"""Watchers woken per iteration of the event loop, so that other requests are handled in between."""

STATUS_SECONDS = 1.0
"""A status rendered longer ago is rendered again for a new watcher, because it has a countdown to the job's start."""


@dataclass(slots=True)
class _Notice:
    """An event of which only the latest counts: the status, or the outage of a source."""

    serial: int
    frame: bytes


class JobFeed:
    """A watched job. Used on the event loop only."""

    def __init__(self, job: Job, root_path: str) -> None:
        self.job = job
        self.history = History(FileAddresses(root_path, job.name, job.kind))
        self.end: bytes | None = None
        """The last event; None until everything before it was read."""
        self.watchers: set[Watcher] = set()
        self.last_woken = self.left_at = time.monotonic()
        """By `time.monotonic`. `left_at`: when the last watcher left."""
        self._root_path = root_path
        self._end_reason: str | None = None
        self._end_read = 0
        """Number of the read that must reach the end of the stream before the `end` event is sent."""
        self._serial = 0
        self._warnings: dict[str, _Notice] = {}
        self._unplaced = 0
        """Watchers whose position in the history is not known yet."""
        self._pings = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._set_status()
        if phase_of(job).is_terminal:
            self.end_with(phase_of(job).value)

    # --- the job ---------------------------------------------------------------------------------------------------

    def see(self, job: Job) -> None:
        """Update the job."""
        if self.is_ending:
            return
        # Compares jobs, not answers: the answer of a waiting job has a countdown.
        changed = replace(job, resource_version="") != replace(self.job, resource_version="")
        self.job = job
        if changed:
            self._set_status()
            self._wake()
        if phase_of(job).is_terminal:
            self.end_with(phase_of(job).value)

    def end_with(self, reason: str) -> None:
        """End after the next read that starts from now on has reached the end of the stream."""
        if self._end_reason is None:
            self._end_reason = reason
            self._end_read = self.history.reads_begun + 1

    @property
    def is_ending(self) -> bool:
        return self._end_reason is not None

    def finish(self, reason: str) -> None:
        """End now."""
        if self.end is None:
            self.end = end_frame(reason)
            self._wake()

    # --- its sources -----------------------------------------------------------------------------------------------

    def lose(self, source: str, error: GatewayError) -> None:
        """Send a `warning`, once per outage. If the end is waiting for progress, end now."""
        if source not in self._warnings:
            log.warning("event stream of %s: source %s is unavailable: %s", self.job.key, source, error)
            self._warnings[source] = self._notice(warning_frame(source, error))
            self._wake()
        if source == "progress" and self._end_reason is not None:
            self.finish(self._end_reason)

    def regain(self, source: str) -> None:
        self._warnings.pop(source, None)

    @property
    def is_urgent(self) -> bool:
        """Whether a watcher waits for a read of the stream, even one that finds nothing."""
        return "progress" not in self._warnings and (self._unplaced > 0 or self.is_ending)

    def add(self, entries: list[Entry], *, to_end: bool) -> None:
        """Add the entries of a read. `to_end`: it reached the end of the stream."""
        self.history.add(entries)
        if to_end:
            self.history.read_to_end()
            if self._end_reason is not None and self.history.is_read(self._end_read):
                self.finish(self._end_reason)
        if entries or self._unplaced:
            self._wake()

    def restart(self) -> None:
        """The stream has lost its latest entry."""
        log.warning("Redis lost the latest progress of %s: reading its stream from the beginning", self.job.key)
        self.history.restart()

    # --- its watchers ----------------------------------------------------------------------------------------------

    def join(self, after: EntryId | None) -> "Watcher":
        """A new watcher that has seen progress up to `after`, or none."""
        # After the end there are no more reads: the last one decides.
        watcher = Watcher(self, after, self.history.reads_begun + (self.end is None))
        self.watchers.add(watcher)
        self._unplaced += after is not None
        return watcher

    def leave(self, watcher: "Watcher") -> None:
        self._set_place(watcher, watcher.position)
        self.watchers.discard(watcher)
        self.left_at = time.monotonic()

    def ping(self) -> None:
        self._pings += 1
        self._wake()

    def news_for(self, watcher: "Watcher") -> asyncio.Future[None]:
        """Done when there may be something to take, or the client has disconnected."""
        watcher.news = news = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        return news

    def take(self, watcher: "Watcher") -> bytes:
        """The next events for a watcher, about as much as a connection's buffer holds; empty when there are none."""
        parts = self._notices(watcher) if watcher.serial != self._serial else []
        parts += self._progress(watcher)
        if parts:
            watcher.pings = self._pings
            return b"".join(parts)
        if self.end is not None:
            was_done, watcher.is_done = watcher.is_done, True
            return b"" if was_done else self.end
        is_due, watcher.pings = watcher.pings != self._pings, self._pings
        return PING if is_due else b""

    def _notices(self, watcher: "Watcher") -> list[bytes]:
        if watcher.serial == 0 and time.monotonic() - self._rendered >= STATUS_SECONDS:
            self._render_status()
        notices = [each for each in (self._status, *self._warnings.values()) if each.serial > watcher.serial]
        watcher.serial = self._serial
        return [each.frame for each in notices]

    def _progress(self, watcher: "Watcher") -> list[bytes]:
        if watcher.after is not None:
            position = self.history.position_after(watcher.after, watcher.first_read)
            if position is None and self.end is None:
                return []
            self._set_place(watcher, self.history.end if position is None else position)
        chunk, watcher.position = self.history.chunk(watcher.position)
        return chunk

    def _set_place(self, watcher: "Watcher", position: int) -> None:
        watcher.position = position
        self._unplaced -= watcher.after is not None
        watcher.after = None

    def _set_status(self) -> None:
        self._status = self._notice(b"")
        self._render_status()

    def _render_status(self) -> None:
        self._status.frame = status_frame(self.job, self._root_path)
        self._rendered = time.monotonic()

    def _notice(self, frame: bytes) -> _Notice:
        self._serial += 1
        return _Notice(self._serial, frame)

    def _wake(self) -> None:
        self.last_woken = time.monotonic()
        waiting, self._waiting = self._waiting, []
        if waiting:
            asyncio.get_running_loop().call_soon(_wake_some, iter(waiting))


@dataclass(slots=True, eq=False)
class Watcher:
    """One event stream, and its position in the feed."""

    feed: JobFeed
    after: EntryId | None
    """The `Last-Event-ID`, until its position in the history is known."""
    first_read: int
    """Number of the first read of the job's stream that starts after the watcher joined; after the end, of the last."""
    position: int = 0
    """Number of its next event in the history."""
    serial: int = 0
    """Serial of the latest notice that it was sent."""
    pings: int = 0
    is_done: bool = False
    """Whether it was sent the `end` event."""
    is_gone: bool = False
    """Whether the client has disconnected."""
    is_aborted: bool = False
    """Whether the gateway has aborted the stream."""
    task: asyncio.Task[None] | None = None
    """The task of its request."""
    news: asyncio.Future[None] | None = None

    def hang_up(self) -> None:
        self.is_gone = True
        if self.news is not None and not self.news.done():
            self.news.set_result(None)

    def abort(self) -> None:
        self.is_aborted = True
        if self.task is not None:
            self.task.cancel()


def _wake_some(waiting: Iterator[asyncio.Future[None]]) -> None:
    woken = 0
    for future in waiting:
        if not future.done():
            future.set_result(None)
            woken += 1
            if woken == WOKEN_AT_ONCE:
                asyncio.get_running_loop().call_soon(_wake_some, waiting)
                return
