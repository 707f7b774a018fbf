"""The jobs that have not ended, in the order in which they are admitted. Kept by `cache.py`, read by `admission.py`.

Sorted as they come and go and not when a slot is free, so that with ten thousand of them the next one is found at once.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import datetime

from darkroom_contract.jobs import Job


def order(job: Job) -> tuple[int, datetime, str]:
    """The key by which jobs are sorted; the least is first."""
    return -job.spec.priority, job.created, job.uid


def is_finished(job: Job) -> bool:
    return job.status.phase is not None and job.status.phase.is_terminal


class Line:
    """Iterated over, it may not change: for use between two awaits."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._jobs = sorted((job for job in jobs if not is_finished(job)), key=order)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def add(self, job: Job) -> None:
        """Unless it has ended."""
        if not is_finished(job):
            insort(self._jobs, job, key=order)

    def remove(self, job: Job) -> None:
        """The job exactly as it was added, if it was."""
        if not is_finished(job):
            del self._jobs[bisect_left(self._jobs, order(job), key=order)]
