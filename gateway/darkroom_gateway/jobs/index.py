"""Index of the stored jobs: sorted lists per kind, phase and submitter. Used by jobs/store.py under its lock."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from itertools import islice

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.stored_job import Position, StoredJob

IndexKey = tuple[Kind, Phase, str | None]
"""Kind, phase, and submitter; None as submitter for the jobs of all."""


class JobIndex:
    """Keeps jobs sorted by position. Reading a page costs O(log n) plus its length."""

    def __init__(self) -> None:
        self._lists: dict[IndexKey, list[StoredJob]] = {}

    def add(self, job: StoredJob) -> None:
        for key in _keys_of(job):
            insort(self._lists.setdefault(key, []), job, key=_position)

    def remove(self, job: StoredJob) -> None:
        for key in _keys_of(job):
            jobs = self._lists[key]
            del jobs[bisect_left(jobs, job.position, key=_position)]
            if not jobs:
                del self._lists[key]

    def newest(
        self, kinds: Sequence[Kind], phase: Phase | None, submitted_by: str | None, limit: int, after: Position | None
    ) -> tuple[list[StoredJob], int]:
        """At most `limit` jobs after a position, newest first, and the total number of matching jobs."""
        phases = list(Phase) if phase is None else [phase]
        found = [self._lists.get((kind, each, submitted_by), []) for kind in kinds for each in phases]
        merged = heapq.merge(*(_descending(jobs, after) for jobs in found), key=_position, reverse=True)
        return list(islice(merged, limit)), sum(map(len, found))


def _position(job: StoredJob) -> Position:
    return job.position


def _keys_of(job: StoredJob) -> Iterator[IndexKey]:
    yield job.kind, job.phase, None
    if job.submitted_by is not None:
        yield job.kind, job.phase, job.submitted_by


def _descending(jobs: list[StoredJob], after: Position | None) -> Iterator[StoredJob]:
    end = len(jobs) if after is None else bisect_left(jobs, after, key=_position)
    return (jobs[number] for number in range(end - 1, -1, -1))
