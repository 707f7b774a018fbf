"""The events of one job for all its watchers: the latest status, the history of progress, and the end.

events/hub.py fills a feed, and events/stream.py sends what a `JobWatcher` takes from it. Watchers have no queues but a
position in the shared history, so slow watchers cost nothing. One that falls behind the history continues with its
oldest event. Of several missed statuses it gets the latest. A `Tap` gets the same progress as it is read: the stream of
all jobs is one. This module does no I/O.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.frames import PING, end_frame, status_frame, warning_frame
from darkroom_gateway.events.history import History
from darkroom_gateway.events.watcher import WakeList, Watcher
from darkroom_gateway.jobs.run_file_paths import FileAddresses
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.redis.progress_streams import Entry, EntryId

log = logging.getLogger(__name__)

STATUS_SECONDS = 1.0
"""A status rendered longer ago is rendered again for a new watcher, because it has a countdown to the job's start."""


@dataclass(slots=True)
class _Notice:
    """An event of which only the latest counts: the status, or the outage of a source."""

    serial: int
    frame: bytes


class Tap(Protocol):
    """Gets the progress of a job as it is read, in addition to the watchers. Called on the event loop."""

    def add(self, job: Job, entries: Sequence[Entry]) -> None:
        """New entries of the job's stream."""

    def lose(self, job: Job, error: GatewayError) -> None:
        """Its progress can't be read."""

    def regain(self, job: Job) -> None:
        """Its progress is read again."""


class JobFeed:
    """A watched job. Used on the event loop only."""

    def __init__(self, job: Job, root_path: str) -> None:
        self.job = job
        self.history = History(FileAddresses(root_path, job.name, job.kind))
        self.end: bytes | None = None
        """The last event; None until everything before it was read."""
        self.watchers: set[JobWatcher] = set()
        self.taps: set[Tap] = set()
        self.wakes = WakeList()
        self.left_at = time.monotonic()
        """When the last watcher left, by `time.monotonic`."""
        self._root_path = root_path
        self._end_reason: str | None = None
        self._when_read: list[tuple[int, Callable[[], None]]] = []
        """What to do when a read has reached the end of the stream, with the number of the read."""
        self._serial = 0
        self._warnings: dict[str, _Notice] = {}
        self._unplaced = 0
        """Watchers whose position in the history is not known yet."""
        self._pings = 0
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
            self.wakes.wake()
        if phase_of(job).is_terminal:
            self.end_with(phase_of(job).value)

    def end_with(self, reason: str) -> None:
        """End after the next read that starts from now on has reached the end of the stream."""
        if self._end_reason is None:
            self._end_reason = reason
            self.when_read(lambda: self.finish(reason))

    @property
    def is_ending(self) -> bool:
        return self._end_reason is not None

    def finish(self, reason: str) -> None:
        """End now."""
        if self.end is None:
            self.end = end_frame(reason)
            self.wakes.wake()
            self._run_callbacks()

    def when_read(self, callback: Callable[[], None]) -> None:
        """Call it once all progress up to now was read, or can't be read."""
        self._when_read.append((self.history.reads_begun + 1, callback))
        if self.end is not None or "progress" in self._warnings:
            self._run_callbacks()

    def _run_callbacks(self, up_to_read: int | None = None) -> None:
        due = [each for each in self._when_read if up_to_read is None or each[0] <= up_to_read]
        self._when_read = [each for each in self._when_read if each not in due]
        for _, callback in due:
            callback()

    # --- its sources -----------------------------------------------------------------------------------------------

    def lose(self, source: str, error: GatewayError) -> None:
        """Send a `warning`, once per outage. If the end is waiting for progress, end now."""
        if source not in self._warnings:
            log.warning("event stream of %s: source %s is unavailable: %s", self.job.key, source, error)
            self._warnings[source] = self._notice(warning_frame(source, error))
            self.wakes.wake()
            for tap in self.taps if source == "progress" else ():
                tap.lose(self.job, error)
        if source == "progress":
            self._run_callbacks()

    def regain(self, source: str) -> None:
        if self._warnings.pop(source, None) is not None and source == "progress":
            for tap in self.taps:
                tap.regain(self.job)

    @property
    def is_urgent(self) -> bool:
        """Whether a watcher waits for a read of the stream, even one that finds nothing."""
        return "progress" not in self._warnings and (self._unplaced > 0 or bool(self._when_read))

    def add(self, entries: list[Entry], *, to_end: bool) -> None:
        """Add the entries of a read. `to_end`: it reached the end of the stream."""
        new = self.history.add(entries)
        for tap in self.taps if new else ():
            tap.add(self.job, new)
        if to_end:
            self.history.read_to_end()
            self._run_callbacks(self.history.reads_begun)
        if entries or self._unplaced:
            self.wakes.wake()

    def restart(self) -> None:
        """The stream has lost its latest entry."""
        log.warning("Redis lost the latest progress of %s: reading its stream from the beginning", self.job.key)
        self.history.restart()

    # --- its watchers ----------------------------------------------------------------------------------------------

    def join(self, after: EntryId | None, leave: "Callable[[JobWatcher], None]") -> "JobWatcher":
        """A new watcher that has seen progress up to `after`, or none. Calls `leave` at its end."""
        # After the end there are no more reads: the last one decides.
        watcher = JobWatcher(self, after, self.history.reads_begun + (self.end is None), leave)
        self.watchers.add(watcher)
        self._unplaced += after is not None
        return watcher

    def leave(self, watcher: "JobWatcher") -> None:
        self._set_place(watcher, watcher.position)
        self.watchers.discard(watcher)
        self.left_at = time.monotonic()

    def ping(self) -> None:
        self._pings += 1
        self.wakes.wake()

    def take(self, watcher: "JobWatcher") -> bytes:
        """The next events for a watcher, as `Watcher.take` returns them."""
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

    def _notices(self, watcher: "JobWatcher") -> list[bytes]:
        if watcher.serial == 0 and time.monotonic() - self._rendered >= STATUS_SECONDS:
            self._render_status()
        notices = [each for each in (self._status, *self._warnings.values()) if each.serial > watcher.serial]
        watcher.serial = self._serial
        return [each.frame for each in notices]

    def _progress(self, watcher: "JobWatcher") -> list[bytes]:
        if watcher.after is not None:
            position = self.history.position_after(watcher.after, watcher.first_read)
            if position is None and self.end is None:
                return []
            self._set_place(watcher, self.history.end if position is None else position)
        chunk, watcher.position = self.history.chunk(watcher.position)
        return chunk

    def _set_place(self, watcher: "JobWatcher", position: int) -> None:
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


class JobWatcher(Watcher):
    """One event stream of a job, and its position in the feed."""

    __slots__ = ("_leave", "after", "feed", "first_read", "pings", "position", "serial")

    def __init__(
        self, feed: JobFeed, after: EntryId | None, first_read: int, leave: "Callable[[JobWatcher], None]"
    ) -> None:
        super().__init__(feed.wakes)
        self.feed = feed
        self.after = after
        """The `Last-Event-ID`, until its position in the history is known."""
        self.first_read = first_read
        """Number of the first read of the job's stream that starts after the watcher joined; after the end, of the
        last."""
        self.position = 0
        """Number of its next event in the history."""
        self.serial = 0
        """Serial of the latest notice that it was sent."""
        self.pings = 0
        self._leave = leave

    @property
    def subject(self) -> str:
        return self.feed.job.key

    def take(self) -> bytes:
        return self.feed.take(self)

    def leave(self) -> None:
        self._leave(self)
