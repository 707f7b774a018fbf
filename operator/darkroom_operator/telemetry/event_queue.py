"""Kubernetes Events that wait to be posted, in the order in which they are due. Owned by `event_recorder.py`.

Adding, taking and dropping an Event cost the same for one Event that waits and for a thousand: ten thousand new jobs
must not slow the process that hands slots over.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract.event_reasons import EventReason
from darkroom_operator.kube.objects import Json, micro_time

Key = tuple[str, ...]


@dataclass(slots=True)
class Series:
    """One Event, and how often what it says has happened."""

    key: Key
    document: Json
    last: datetime
    count: int = 1
    posted: bool = False
    due: float = 0.0
    """By the monotonic clock."""
    tries: int = 0

    @property
    def is_queued(self) -> bool:
        return bool(self.document["reason"] == EventReason.QUEUED)

    def with_series(self) -> Json:
        return self.document if self.count < 2 else {**self.document, **self.series()}

    def series(self) -> Json:
        return {"series": {"count": self.count, "lastObservedTime": micro_time(self.last)}}


class EventQueue:
    """Two FIFO queues of new Events: of runs, and of new jobs (`Queued`). Updates of Events that are already posted
    wait for up to a minute, in a heap. A `Queued` Event comes after all others."""

    def __init__(self) -> None:
        self._of_runs: OrderedDict[Key, Series] = OrderedDict()
        self._of_new_jobs: OrderedDict[Key, Series] = OrderedDict()
        self._updates: dict[Key, Series] = {}
        self._update_times: list[tuple[float, int, Key]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._of_runs) + len(self._of_new_jobs) + len(self._updates)

    def __contains__(self, key: Key) -> bool:
        return key in self._of_runs or key in self._of_new_jobs or key in self._updates

    def __iter__(self) -> Iterator[Series]:
        """The order in which they are posted, except that an update may be due before an Event of a run."""
        return itertools.chain(self._of_runs.values(), self._updates.values(), self._of_new_jobs.values())

    def add(self, series: Series) -> None:
        """New Events are added with a `due` that is never before that of the one added last."""
        if series.key in self:
            return
        if series.posted:
            self._updates[series.key] = series
            heapq.heappush(self._update_times, (series.due, next(self._numbers), series.key))
        else:
            self._queue_of(series)[series.key] = series

    def put_back(self, series: Series) -> None:
        """First in its queue: it could not be posted."""
        self.add(series)
        if not series.posted:
            self._queue_of(series).move_to_end(series.key, last=False)

    def due_of_runs(self) -> float | None:
        """When the next Event is due that is not a `Queued`; None if there is none."""
        times = [series.due for series in self._first(self._of_runs)] + [due for due, _, _ in self._update_times[:1]]
        return min(times, default=None)

    def due_of_new_jobs(self) -> float | None:
        return next((series.due for series in self._first(self._of_new_jobs)), None)

    def take_of_runs(self) -> Series:
        """The next Event that is not a `Queued`. Raises `LookupError` if there is none."""
        first = next(self._first(self._of_runs), None)
        if first is None or (self._update_times and self._update_times[0][0] < first.due):
            return self._take_update()
        return self._of_runs.pop(first.key)

    def take_of_new_jobs(self) -> Series:
        """Raises `LookupError` if there is none."""
        return self._of_new_jobs.popitem(last=False)[1]

    def drop_oldest(self) -> None:
        """The oldest `Queued`, else the oldest Event of a run, else the next update."""
        if queue := self._of_new_jobs or self._of_runs:
            queue.popitem(last=False)
        else:
            self._take_update()

    def _take_update(self) -> Series:
        return self._updates.pop(heapq.heappop(self._update_times)[2])

    def _queue_of(self, series: Series) -> "OrderedDict[Key, Series]":
        return self._of_new_jobs if series.is_queued else self._of_runs

    @staticmethod
    def _first(queue: "OrderedDict[Key, Series]") -> Iterator[Series]:
        return itertools.islice(queue.values(), 1)
