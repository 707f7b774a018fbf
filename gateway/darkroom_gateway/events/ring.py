"""The latest events of all jobs, rendered once for all watchers. Pure; used by events/namespace_feed.py.

An event has a number, and its id is that number after the number of the ring: `<ring>-<event>`. A ring has a random
number, so an id of another gateway, or of an earlier ring of this one, is never taken for one of its own.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from darkroom_contract.names import Kind
from darkroom_gateway.events.history import CHUNK_BYTES, CHUNK_FRAMES
from darkroom_gateway.redis.progress_streams import EntryId

RING_EVENTS = 4096
RING_BYTES = 8 * 1024**2
"""Limits of the events that are kept, and so of how far a watcher may fall behind. An event with a preview has up to
33 kB, others one to four."""

RING_NUMBER_BITS = 63
"""So that ids have at most 20 digits on each side, as those of Redis."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The job that an event is about."""

    kind: Kind
    models: frozenset[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs a watcher follows; None for all."""

    kind: Kind | None = None
    model_id: str | None = None

    def includes(self, subject: Subject | None) -> bool:
        """Whether to send an event about a job, or about none."""
        return subject is None or (
            (self.kind is None or self.kind is subject.kind)
            and (self.model_id is None or self.model_id in subject.models)
        )


@dataclass(frozen=True, slots=True)
class _Event:
    subject: Subject | None
    frame: bytes


class EventRing:
    """The events by number, from 1."""

    def __init__(self) -> None:
        self._number = secrets.randbits(RING_NUMBER_BITS)
        self._events: list[_Event] = []
        self._bytes = 0
        self.begin = 1
        """Number of the oldest event that is kept."""

    @property
    def end(self) -> int:
        """Number of the next event."""
        return self.begin + len(self._events)

    def id_before(self, position: int) -> str:
        """The id of the event before a position: a watcher that has seen it continues there."""
        return str(EntryId(self._number, position - 1))

    def position_after(self, seen: EntryId) -> int | None:
        """The position after the event with this id; None if events after it are lost, or it is unknown."""
        position = seen.sequence + 1
        return position if seen.milliseconds == self._number and self.begin <= position <= self.end else None

    def add(self, subject: Subject | None, render: Callable[[str], bytes]) -> None:
        """Add an event that `render` makes from its id."""
        event = _Event(subject, render(self.id_before(self.end + 1)))
        self._events.append(event)
        self._bytes += len(event.frame)
        surplus = 0
        while self._bytes > RING_BYTES or len(self._events) - surplus > RING_EVENTS:
            self._bytes -= len(self._events[surplus].frame)
            surplus += 1
        if surplus:
            del self._events[:surplus]
            self.begin += surplus

    def chunk(self, position: int, selection: Selection) -> tuple[list[bytes], int]:
        """The selected frames from a position that is kept, about `CHUNK_BYTES`, and the position after them."""
        chunk: list[bytes] = []
        size = 0
        for index in range(position - self.begin, len(self._events)):
            if size >= CHUNK_BYTES or len(chunk) >= CHUNK_FRAMES:
                break
            event = self._events[index]
            position += 1
            if selection.includes(event.subject):
                chunk.append(event.frame)
                size += len(event.frame)
        return chunk, position
