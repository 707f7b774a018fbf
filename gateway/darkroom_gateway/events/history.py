"""Bounded history of one job's progress as rendered events, shared by all watchers. Pure; used by events/feed.py.

A watcher has a position: the number of its next event. Numbers increase by one, even when the Redis stream is lost and
restarts with lower ids. Only the newest preview is kept: a late watcher gets the events of older ones without them.
"""

from dataclasses import dataclass
from itertools import islice

from darkroom_contract.progress import STREAM_MAX_LENGTH, ProgressEvent
from darkroom_gateway.events.frames import progress_frame
from darkroom_gateway.jobs.run_file_paths import FileAddresses
from darkroom_gateway.redis.progress_streams import BEGINNING, Entry, EntryId

HISTORY_ENTRIES = STREAM_MAX_LENGTH + 200
"""Redis trims streams by whole nodes of up to 100 entries, so a stream may be longer than its limit."""

TRIMMED_AT_ONCE = 200

CHUNK_BYTES = 64 * 1024
"""Approximate size of one write to a connection: what its buffer may hold before it must be drained."""

CHUNK_FRAMES = 256


@dataclass(frozen=True, slots=True)
class _Frame:
    """One `progress` event."""

    id: EntryId
    data: bytes


class History:
    """The entries that were read from a job's stream."""

    def __init__(self, addresses: FileAddresses) -> None:
        self._addresses = addresses
        self.read_until = BEGINNING
        """Id of the last entry that was read."""
        self.reads_begun = 0
        self._reads_done = 0
        """Number of the last read that reached the end of the stream."""
        self._frames: list[_Frame] = []
        self._trimmed = 0
        """Number of the oldest frame in the history."""
        self._era = 0
        """Number of the first frame since the stream restarted."""
        self._preview: tuple[int, EntryId, ProgressEvent] | None = None
        """The newest event with a preview, after its number and id."""
        self._known: dict[EntryId, bytes] = {}
        """Frames from before the restart, which the stream may still contain."""

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self._trimmed + len(self._frames)

    def add(self, entries: list[Entry]) -> list[Entry]:
        """Add the entries that a read found after `read_until`. Returns those that are readable and new."""
        new = []
        for entry in entries:
            self.read_until = entry.id
            if entry.event is not None:
                data = progress_frame(entry.id, entry.event, self._addresses)
                if self._known.get(entry.id) != data:
                    self._frames.append(_Frame(entry.id, data))
                    new.append(entry)
                    if entry.event.preview is not None:
                        self._replace_preview(entry.id, entry.event)
        if len(self._frames) > HISTORY_ENTRIES + TRIMMED_AT_ONCE:
            surplus = len(self._frames) - HISTORY_ENTRIES
            del self._frames[:surplus]
            self._trimmed += surplus
        return new

    def _replace_preview(self, newest: EntryId, event: ProgressEvent) -> None:
        """Remove the preview from the event that had the newest one until now."""
        before, self._preview = self._preview, (self.end - 1, newest, event)
        if before is None or before[0] < self._trimmed:
            return
        number, entry_id, earlier = before
        data = progress_frame(entry_id, earlier.model_copy(update={"preview": None}), self._addresses)
        self._frames[number - self._trimmed] = _Frame(entry_id, data)

    def read_to_end(self) -> None:
        """The read that started last has reached the end of the stream."""
        self._reads_done = self.reads_begun
        self._known = {}

    def is_read(self, read: int) -> bool:
        """Whether that read, or a later one, has reached the end of the stream."""
        return self._reads_done >= read

    def restart(self) -> None:
        """Restart from the beginning, because Redis lost its data or the stream was deleted.

        Entries that are still in the stream, as on a replica that lagged, are not sent twice.
        """
        self.read_until = BEGINNING
        self._known = {frame.id: frame.data for frame in self._frames}
        self._era = self.end

    def chunk(self, position: int) -> tuple[list[bytes], int]:
        """Frames from a position, about `CHUNK_BYTES` of them, and the position after them.

        A position before the history counts as its oldest frame.
        """
        begin = max(position, self._trimmed)
        first = begin - self._trimmed
        chunk: list[bytes] = []
        size = 0
        for frame in self._frames[first : first + CHUNK_FRAMES]:
            chunk.append(frame.data)
            size += len(frame.data)
            if size >= CHUNK_BYTES:
                break
        return chunk, begin + len(chunk)

    def position_after(self, seen: EntryId, first_read: int) -> int | None:
        """The position after an entry that a watcher has seen; None until the read `first_read` decides.

        If a read to the end of the stream did not reach the entry, it belongs to an earlier stream of this job, which
        was lost: everything in the current one is new.
        """
        for index in range(len(self._frames) - 1, -1, -1):
            if self._frames[index].id == seen:
                return self._trimmed + index + 1
        era = max(0, self._era - self._trimmed)
        if seen <= self.read_until:
            return self._trimmed + era + sum(frame.id <= seen for frame in islice(self._frames, era, None))
        return self._trimmed + era if self.is_read(first_read) else None
