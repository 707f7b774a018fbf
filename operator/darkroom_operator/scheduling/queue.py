"""The unfinished jobs in the order of the queue policy. Maintained by `cache/object_store.py`, read by `admission.py`.

Kept sorted as jobs come and go, so that with ten thousand of them the next one is found at once when a slot is free.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_operator.scheduling.job_state import is_finished
from darkroom_operator.scheduling.policy import Key, PriorityThenAge, QueuePolicy

SortKey = tuple[Key, str]
"""The key of the policy, then the uid: no two jobs are equal."""

NEVER = datetime.min.replace(tzinfo=UTC)


class PendingQueue:
    """Jobs by uid, with the sort keys under which they were inserted.

    Must not change while it is iterated: use it between two awaits.
    """

    def __init__(self, jobs: Iterable[Job] = (), policy: QueuePolicy | None = None) -> None:
        self._policy = policy or PriorityThenAge()
        self._keyed_at = NEVER
        """The `now` of all sort keys."""
        self._keys: dict[str, SortKey] = {}
        self._all = _SortedJobs()
        self._trainings: dict[str, _SortedJobs] = {}
        """By the model that they train."""
        for job in jobs:
            self.put(job)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._all.jobs)

    def put(self, job: Job) -> None:
        """Insert the job, or replace its older state. A finished job leaves the queue."""
        self.remove(job.uid)
        if is_finished(job):
            return
        key = self._keys[job.uid] = self._policy.key(job, self._keyed_at), job.uid
        self._all.insert(key, job)
        if (model_id := _trained_model(job)) is not None:
            self._trainings.setdefault(model_id, _SortedJobs()).insert(key, job)

    def remove(self, uid: str) -> None:
        """Remove the job, if it is in the queue, by the key under which it was inserted."""
        if (key := self._keys.pop(uid, None)) is None:
            return
        model_id = _trained_model(self._all.remove(key))
        if model_id is not None:
            self._trainings[model_id].remove(key)
            if not self._trainings[model_id].jobs:
                del self._trainings[model_id]

    def refresh(self, now: datetime) -> None:
        """Compute all keys again, if the policy depends on time and they are too old. Called for each snapshot."""
        seconds = self._policy.refresh_seconds
        if seconds is None or abs((now - self._keyed_at).total_seconds()) < seconds:
            return
        self._keyed_at = now
        for job in list(self):
            self.put(job)

    def precedes(self, first: Job, second: Job) -> bool:
        """Whether the first of two jobs of the queue is before the second."""
        return self._keys[first.uid] < self._keys[second.uid]

    @property
    def trained_models(self) -> Iterable[str]:
        """The models of unfinished trainings."""
        return self._trainings.keys()

    def trainings_of(self, model_id: str) -> list[Job]:
        """The unfinished trainings of a model, in the order of the queue."""
        return self._trainings[model_id].jobs if model_id in self._trainings else []


class _SortedJobs:
    """Jobs in the order of their sort keys: two lists of the same length."""

    def __init__(self) -> None:
        self._keys: list[SortKey] = []
        self.jobs: list[Job] = []

    def insert(self, key: SortKey, job: Job) -> None:
        index = bisect_left(self._keys, key)
        self._keys.insert(index, key)
        self.jobs.insert(index, job)

    def remove(self, key: SortKey) -> Job:
        index = bisect_left(self._keys, key)
        del self._keys[index]
        return self.jobs.pop(index)


def _trained_model(job: Job) -> str | None:
    return job.spec.model_id if job.kind is Kind.TRAIN else None
