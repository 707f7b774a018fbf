"""The events of all jobs for all watchers of `GET /v1/events`. Filled by events/namespace_follower.py.

A watcher is a position in the ring of events. One that the ring has passed gets a `reset` and continues with the next
event: it is never buffered for. This module does no I/O.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from pydantic import BaseModel

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.namespace_frames import (
    deleted_frame,
    end_frame,
    job_frame,
    position_frame,
    progress_frame,
    reset_frame,
    warning_frame,
)
from darkroom_gateway.events.ring import EventRing, Selection, Subject
from darkroom_gateway.events.watcher import WakeList, Watcher
from darkroom_gateway.jobs.stored_job import models_of
from darkroom_gateway.redis.progress_streams import Entry, EntryId

log = logging.getLogger(__name__)

UNKNOWN_ID = "The events after this Last-Event-ID are no longer known: list the jobs again."
FELL_BEHIND = "The connection was too slow, and events were dropped: list the jobs again."

Render = Callable[[Job], BaseModel]
"""A job as `/v1` answers it."""


class NamespaceFeed:
    """Used on the event loop only."""

    def __init__(self, render: Render, root_path: str) -> None:
        self.watchers: set[NamespaceWatcher] = set()
        self.wakes = WakeList()
        self.end: bytes | None = None
        """The last event."""
        self._render = render
        self._root_path = root_path
        self._ring = EventRing()
        self._warnings: dict[str, GatewayError] = {}
        """The current outages, by source."""
        self._pings = 0

    # --- events ----------------------------------------------------------------------------------------------------

    def show(self, job: Job) -> None:
        """The job is new or has changed."""
        try:
            answer = self._render(job)
        except Exception:  # One job that can't be shown must not end the streams.
            log.exception("sent no event for %s, because its answer can't be made", job.key)
            return
        self._add(job, partial(job_frame, job=answer))

    def delete(self, job: Job) -> None:
        self._add(job, partial(deleted_frame, job=job))

    def report(self, job: Job, entries: Sequence[Entry]) -> None:
        """Progress of the job's run."""
        for entry in entries:
            if (event := entry.event) is not None:
                render = partial(progress_frame, job=job, event=event, root_path=self._root_path)
                self._add(job, render, wake=False)
        self.wakes.wake()

    def lose(self, source: str, error: GatewayError) -> None:
        """Send a `warning`, once per outage."""
        if source not in self._warnings:
            log.warning("the stream of all events: source %s is unavailable: %s", source, error)
            self._warnings[source] = error
            self._add(None, partial(warning_frame, source=source, error=error))

    def regain(self, source: str) -> None:
        self._warnings.pop(source, None)

    def is_lost(self, source: str) -> bool:
        return source in self._warnings

    def reset(self, detail: str) -> None:
        """Events are missing for all watchers."""
        self._add(None, partial(reset_frame, detail=detail))

    def finish(self, reason: str) -> None:
        if self.end is None:
            self.end = end_frame(self._ring.id_before(self._ring.end), reason)
            self.wakes.wake()

    def ping(self) -> None:
        self._pings += 1
        self.wakes.wake()

    def _add(self, job: Job | None, render: Callable[[str], bytes], *, wake: bool = True) -> None:
        self._ring.add(None if job is None else Subject(job.kind, models_of(job)), render)
        if wake:
            self.wakes.wake()

    # --- watchers --------------------------------------------------------------------------------------------------

    def join(
        self, selection: Selection, after: EntryId | None, leave: "Callable[[NamespaceWatcher], None]"
    ) -> "NamespaceWatcher":
        """A new watcher that has seen events up to `after`. Calls `leave` at its end."""
        end = self._ring.end
        position = end if after is None else self._ring.position_after(after)
        watcher = NamespaceWatcher(self, selection, end if position is None else position, leave)
        if position is None:
            watcher.opening = self._restart(UNKNOWN_ID)
        elif after is None:
            watcher.opening = position_frame(self._ring.id_before(end)) + self._current_warnings()
        else:
            watcher.opening = position_frame(self._ring.id_before(position))
        watcher.pings = self._pings
        self.watchers.add(watcher)
        return watcher

    def leave(self, watcher: "NamespaceWatcher") -> None:
        self.watchers.discard(watcher)

    def take(self, watcher: "NamespaceWatcher") -> bytes:
        """The next events for a watcher, as `Watcher.take` returns them."""
        opening, watcher.opening = watcher.opening, b""
        if watcher.position < self._ring.begin:
            watcher.position = self._ring.end
            return opening + self._restart(FELL_BEHIND)
        chunk, watcher.position = self._ring.chunk(watcher.position, watcher.selection)
        if chunk or opening:
            watcher.pings = self._pings
            return opening + b"".join(chunk)
        if self.end is not None and watcher.position == self._ring.end:
            was_done, watcher.is_done = watcher.is_done, True
            return b"" if was_done else self.end
        is_due, watcher.pings = watcher.pings != self._pings, self._pings
        return position_frame(self._ring.id_before(watcher.position)) if is_due else b""

    def _restart(self, detail: str) -> bytes:
        """`reset` for one watcher, which continues with the next event."""
        return reset_frame(self._ring.id_before(self._ring.end), detail) + self._current_warnings()

    def _current_warnings(self) -> bytes:
        event_id = self._ring.id_before(self._ring.end)
        return b"".join(warning_frame(event_id, source, error) for source, error in self._warnings.items())


class NamespaceWatcher(Watcher):
    """One event stream of all jobs, and its position in the ring."""

    __slots__ = ("_leave", "feed", "opening", "pings", "position", "selection")

    def __init__(
        self,
        feed: NamespaceFeed,
        selection: Selection,
        position: int,
        leave: "Callable[[NamespaceWatcher], None]",
    ) -> None:
        super().__init__(feed.wakes)
        self.selection = selection
        self.position = position
        """Number of its next event."""
        self.opening = b""
        """What it is sent first."""
        self.pings = 0
        self.feed = feed
        self._leave = leave

    @property
    def subject(self) -> str:
        return "all jobs"

    def take(self) -> bytes:
        return self.feed.take(self)

    def leave(self) -> None:
        self._leave(self)
