"""The jobs that have not ended, in the order in which they are admitted. Kept by `cache.py`, read by `admission.py`.

Sorted as they come and go and not when a slot is free, so that with ten thousand of them the next one is found at once.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import datetime

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind

QueueKey = tuple[int, datetime, bool, int, str]


def queue_key(job: Job) -> QueueKey:
    """The key by which jobs are sorted; the least is first: priority, then age.

    Creation times have whole seconds. Within one, a training comes before a generation, which may need its model; then
    the order in which the API server stored them decides (resource versions grow: KEP 5504).
    """
    return -job.spec.priority, job.created, job.kind is not Kind.TRAIN, job.order, job.uid


def is_finished(job: Job) -> bool:
    return job.status.phase is not None and job.status.phase.is_terminal


class PendingQueue:
    """Iterated over, it may not change: for use between two awaits."""

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._jobs: list[Job] = []
        self._trainings: dict[str, list[Job]] = {}
        """Those of the jobs that are trainings, by the model that they make; in the order of the queue."""
        for job in jobs:
            self.add(job)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def add(self, job: Job) -> None:
        """Unless it has ended."""
        if is_finished(job):
            return
        insort(self._jobs, job, key=queue_key)
        if (model_id := _makes(job)) is not None:
            insort(self._trainings.setdefault(model_id, []), job, key=queue_key)

    def remove(self, job: Job) -> None:
        """The job exactly as it was added, if it was."""
        if is_finished(job):
            return
        _delete(self._jobs, job)
        if (model_id := _makes(job)) is not None:
            _delete(self._trainings[model_id], job)
            if not self._trainings[model_id]:
                del self._trainings[model_id]

    @property
    def trained_models(self) -> Iterable[str]:
        """The models that are made by trainings that have not ended."""
        return self._trainings.keys()

    def trainings_of(self, model_id: str) -> list[Job]:
        """The trainings of a model that have not ended, the first in the queue first."""
        return self._trainings.get(model_id, [])


def _makes(job: Job) -> str | None:
    return job.spec.model_id if job.kind is Kind.TRAIN else None


def _delete(jobs: list[Job], job: Job) -> None:
    del jobs[bisect_left(jobs, queue_key(job), key=queue_key)]
