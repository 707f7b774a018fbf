"""Sorted lists of the stored jobs, one for each way to narrow a list. Used by jobs/store.py, which holds its lock."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import islice

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.stored_job import Position, StoredJob

Shelf = tuple[Kind, Phase, str | None]
"""Jobs of a kind in a phase: those of one submitter, or with None all of them."""


class JobIndex:
    """Reads cost as much for ten thousand jobs as for ten, but for the logarithm of a search."""

    def __init__(self) -> None:
        self._shelves: dict[Shelf, list[StoredJob]] = {}

    def add(self, job: StoredJob) -> None:
        for shelf in _shelves_of(job):
            insort(self._shelves.setdefault(shelf, []), job, key=_position)

    def remove(self, job: StoredJob) -> None:
        for shelf in _shelves_of(job):
            jobs = self._shelves[shelf]
            del jobs[bisect_left(jobs, job.position, key=_position)]
            if not jobs:
                del self._shelves[shelf]

    def newest(
        self, kinds: Sequence[Kind], phase: Phase | None, submitted_by: str | None, limit: int, behind: Position | None
    ) -> tuple[list[StoredJob], int]:
        """At most `limit` jobs, the newest first, from behind a position; and how many there are from the beginning."""
        phases = list(Phase) if phase is None else [phase]
        found = [self._shelves.get((kind, each, submitted_by), []) for kind in kinds for each in phases]
        merged = heapq.merge(*(_descending(jobs, behind) for jobs in found), key=_position, reverse=True)
        return list(islice(merged, limit)), sum(map(len, found))


def _position(job: StoredJob) -> Position:
    return job.position


def _shelves_of(job: StoredJob) -> Iterator[Shelf]:
    yield job.kind, job.phase, None
    if job.submitted_by is not None:
        yield job.kind, job.phase, job.submitted_by


def _descending(jobs: list[StoredJob], behind: Position | None) -> Iterator[StoredJob]:
    end = len(jobs) if behind is None else bisect_left(jobs, behind, key=_position)
    return (jobs[number] for number in range(end - 1, -1, -1))
