"""Index of the stored jobs: sorted lists per kind, phase, submitter and model. Used by jobs/store.py under its lock."""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.stored_job import Position, StoredJob

IndexKey = tuple[Kind, Phase, str | None, str | None]
"""Kind, phase, submitter and model; None as submitter for the jobs of all, None as model for those of any or none."""


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list. The default is all of them."""

    kinds: Sequence[Kind] = tuple(Kind)
    phases: Sequence[Phase] = tuple(Phase)
    submitted_by: str | None = None
    """Name of an API key."""
    model_id: str | None = None
    """A model that the job trains, uses or continues from."""
    words: tuple[str, ...] = ()
    """Beginnings of words of the prompt, as `prompt_index.words_of` returns them; all of them must match."""

    def matches(self, job: StoredJob) -> bool:
        """Whether a job matches in all but its prompt."""
        return (
            job.kind in self.kinds
            and job.phase in self.phases
            and self.submitted_by in (None, job.submitted_by)
            and (self.model_id is None or self.model_id in job.models)
        )


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

    def newest(self, only: JobFilter, limit: int, after: Position | None) -> tuple[list[StoredJob], int]:
        """At most `limit` jobs after a position, newest first, and the total number of matching jobs.

        Ignores `only.words`."""
        keys = product(only.kinds, only.phases, [only.submitted_by], [only.model_id])
        found = [self._lists.get(key, []) for key in keys]
        merged = heapq.merge(*(_descending(jobs, after) for jobs in found), key=_position, reverse=True)
        return list(islice(merged, limit)), sum(map(len, found))


def _position(job: StoredJob) -> Position:
    return job.position


def _keys_of(job: StoredJob) -> Iterator[IndexKey]:
    submitters = {None, job.submitted_by}
    yield from product([job.kind], [job.phase], submitters, {None, *job.models})


def _descending(jobs: list[StoredJob], after: Position | None) -> Iterator[StoredJob]:
    end = len(jobs) if after is None else bisect_left(jobs, after, key=_position)
    return (jobs[number] for number in range(end - 1, -1, -1))
