"""What one job's watchers get: its newest status, the history of its progress, and how it ended.

events/hub.py fills a feed; events/stream.py sends what a `Watcher` takes from it. There is no queue for each watcher:
it has a position in the shared history, so a slow one costs nothing, and goes on from the oldest event when it has
fallen behind the history. Of several statuses that it missed it gets the newest. No input or output happens here.
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
from darkroom_gateway.jobs.serializers import phase_of

log = logging.getLogger(__name__)

WOKEN_AT_ONCE = 100
"""Watchers that are woken in one turn of the event loop. Other requests are answered between the turns."""

STATUS_SECONDS = 1.0
"""A status rendered longer ago is rendered anew for a new watcher: it tells the seconds until the job's start."""


@dataclass(slots=True)
class _Notice:
    """An event of which only the newest counts: the status, and the outage of a source."""

    serial: int
    frame: bytes


class JobFeed:
    """One job that is watched. Used in the event loop alone."""

    def __init__(self, job: Job, root_path: str) -> None:
        self.job = job
        self.history = History()
        self.end: bytes | None = None
        """The last event; None until everything else is known."""
        self.watchers: set[Watcher] = set()
        self.last_woken = self.left_at = time.monotonic()
        """By `time.monotonic`; `left_at` is when the last watcher went."""
        self._root_path = root_path
        self._end_reason: str | None = None
        self._end_read = 0
        """Number of the read that has to find the end of the stream before the job's end is sent."""
        self._serial = 0
        self._warnings: dict[str, _Notice] = {}
        self._unplaced = 0
        """Watchers whose place in the history is not known yet."""
        self._pings = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._set_status()
        if phase_of(job).is_terminal:
            self.end_with(phase_of(job).value)

    # --- the job ---------------------------------------------------------------------------------------------------

    def see(self, job: Job) -> None:
        """Take over what the job is now."""
        if self.is_ending:
            return
        # Jobs are compared and not their answers: in those of a waiting job the seconds until its start go by.
        changed = replace(job, resource_version="") != replace(self.job, resource_version="")
        self.job = job
        if changed:
            self._set_status()
            self._wake()
        if phase_of(job).is_terminal:
            self.end_with(phase_of(job).value)

    def end_with(self, reason: str) -> None:
        """End once the stream was read to its end, by a read that begins from now on."""
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
        """A `warning`, once for each outage. An end that waits for progress waits no longer."""
        if source not in self._warnings:
            log.warning("the stream of events of %s lost its %s: %s", self.job.key, source, error)
            self._warnings[source] = self._notice(warning_frame(source, error))
            self._wake()
        if source == "progress" and self._end_reason is not None:
            self.finish(self._end_reason)

    def regain(self, source: str) -> None:
        self._warnings.pop(source, None)

    @property
    def is_urgent(self) -> bool:
        """Whether a watcher waits for a read of the stream, even if it finds nothing new."""
        return "progress" not in self._warnings and (self._unplaced > 0 or self.is_ending)

    def add(self, entries: list[Entry], *, to_end: bool) -> None:
        """What a read found of the stream, and whether it came to its end."""
        self.history.add(entries)
        if to_end:
            self.history.read_to_end()
            if self._end_reason is not None and self.history.is_read(self._end_read):
                self.finish(self._end_reason)
        if entries or self._unplaced:
            self._wake()

    def begin_again(self) -> None:
        """The stream has lost its last entry."""
        log.warning("the last progress of %s is lost: its stream is read from the beginning", self.job.key)
        self.history.begin_again()

    # --- its watchers ----------------------------------------------------------------------------------------------

    def join(self, after: EntryId | None) -> "Watcher":
        """A watcher who has seen progress up to that entry, or none."""
        # Behind the end there are no more reads: the last one tells.
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
        """Done when there may be something to take, or the client is gone."""
        watcher.news = news = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        return news

    def take(self, watcher: "Watcher") -> bytes:
        """What a watcher has not been told yet, about as much as a connection takes at once; empty for nothing."""
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
    """One stream of events: how far it has come."""

    feed: JobFeed
    after: EntryId | None
    """The `Last-Event-ID`, until its place in the history was found."""
    first_read: int
    """Number of the first read of the job's stream that begins after the watcher came; after the end, of the last."""
    position: int = 0
    """Number of the next event of the history."""
    serial: int = 0
    """The newest notice that it was sent."""
    pings: int = 0
    is_done: bool = False
    """Whether it was sent the end."""
    is_gone: bool = False
    """Whether the client has closed the connection."""
    is_given_up: bool = False
    """Whether the gateway has given up the connection."""
    task: asyncio.Task[None] | None = None
    """The one of its request."""
    news: asyncio.Future[None] | None = None

    def hang_up(self) -> None:
        self.is_gone = True
        if self.news is not None and not self.news.done():
            self.news.set_result(None)

    def give_up(self) -> None:
        self.is_given_up = True
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
