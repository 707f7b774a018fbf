"""The progress of one job, kept as rendered events: one bounded history for all watchers. Pure; used by events/feed.py.

A watcher is a position in it, the number of its next event. The numbers grow by one, also over a stream that is lost
and begins again at lower ids.
"""

from dataclasses import dataclass
from itertools import islice

from darkroom_contract.progress import STREAM_MAX_LENGTH
from darkroom_gateway.events.frames import progress_frame
from darkroom_gateway.events.progress_streams import BEGINNING, Entry, EntryId

HISTORY_ENTRIES = STREAM_MAX_LENGTH + 200
"""Redis trims a stream by whole nodes of up to 100 entries, so that it may hold a little more than its length."""

TRIMMED_AT_ONCE = 200

CHUNK_BYTES = 64 * 1024
"""About what is handed to a connection at once: what its buffer may hold before it has to be drained."""

CHUNK_FRAMES = 256


@dataclass(frozen=True, slots=True)
class _Frame:
    """One `progress` event."""

    id: EntryId
    data: bytes


class History:
    """What was read of a job's stream."""

    def __init__(self) -> None:
        self.read_until = BEGINNING
        """The last entry that was read."""
        self.reads_begun = 0
        self._reads_done = 0
        """The last read that found the end of the stream."""
        self._frames: list[_Frame] = []
        self._trimmed = 0
        """Number of the first frame that is kept."""
        self._era = 0
        """Number of the first frame since the stream began again."""
        self._known: dict[EntryId, bytes] = {}
        """What was read before the stream began again, and may still be in it."""

    @property
    def end(self) -> int:
        """The number of the next frame."""
        return self._trimmed + len(self._frames)

    def add(self, entries: list[Entry]) -> None:
        """What a read found behind `read_until`."""
        for entry in entries:
            self.read_until = entry.id
            if entry.event is not None:
                data = progress_frame(entry.id, entry.event)
                if self._known.get(entry.id) != data:
                    self._frames.append(_Frame(entry.id, data))
        if len(self._frames) > HISTORY_ENTRIES + TRIMMED_AT_ONCE:
            surplus = len(self._frames) - HISTORY_ENTRIES
            del self._frames[:surplus]
            self._trimmed += surplus

    def read_to_end(self) -> None:
        """The read that was begun last has found the end of the stream."""
        self._reads_done = self.reads_begun
        self._known = {}

    def is_read(self, read: int) -> bool:
        """Whether that read, or a later one, has found the end of the stream."""
        return self._reads_done >= read

    def begin_again(self) -> None:
        """The stream has lost its last entry: Redis lost its data, or the stream was deleted. All of it is read anew.

        What is still there, as at a replica that was behind, does not come twice.
        """
        self.read_until = BEGINNING
        self._known = {frame.id: frame.data for frame in self._frames}
        self._era = self.end

    def chunk(self, position: int) -> tuple[list[bytes], int]:
        """Frames from a position on, about `CHUNK_BYTES` of them, and the position behind them.

        A position that the history no longer has means the oldest frame that it has.
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
        """Where a watcher goes on who has seen that entry; None while only the read `first_read` can tell.

        An entry of the history: behind it. An entry that was not reached by a read to the end of the stream is of an
        earlier stream of this job, which was lost: everything of this one is new.
        """
        for index in range(len(self._frames) - 1, -1, -1):
            if self._frames[index].id == seen:
                return self._trimmed + index + 1
        era = max(0, self._era - self._trimmed)
        if seen <= self.read_until:
            return self._trimmed + era + sum(frame.id <= seen for frame in islice(self._frames, era, None))
        return self._trimmed + era if self.is_read(first_read) else None
