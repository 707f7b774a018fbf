"""The unfinished jobs in the order of the queue policy. Maintained by `cache/object_store.py`, read by `admission.py`.

Kept sorted as jobs come and go, so that with ten thousand of them the next one is found at once when a slot is free.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_operator.scheduling.job_state import is_finished
from darkroom_operator.scheduling.policy import Key, PriorityThenAge, QueuePolicy

SortKey = tuple[Key, str]
"""The key of the policy, then the uid: no two jobs are equal."""

Entry = tuple[SortKey, str | None]
"""The key under which a job was inserted, and the model that it trains."""

NEVER = datetime.min.replace(tzinfo=UTC)


class PendingQueue:
    """Jobs by uid, with the sort keys under which they were inserted.

    Must not change while it is iterated: use it between two awaits.
    """

    def __init__(self, jobs: Iterable[Job] = (), policy: QueuePolicy | None = None) -> None:
        self._policy = policy or PriorityThenAge()
        self._keyed_at = NEVER
        """The `now` of all sort keys."""
        self._entries: dict[str, Entry] = {}
        self._all = _SortedJobs()
        self._trainings: dict[str, _SortedJobs] = {}
        """By the model that they train."""
        for job in jobs:
            self.put(job)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._all.jobs)

    def put(self, job: Job) -> None:
        """Insert the job, or replace its older state. A finished job leaves the queue."""
        if is_finished(job):
            self.remove(job.uid)
            return
        entry = key, model_id = (self._policy.key(job, self._keyed_at), job.uid), _trained_model(job)
        if self._entries.get(job.uid) == entry:  # The usual change: the job keeps its position.
            for jobs in self._lists(model_id):
                jobs.replace(key, job)
            return
        self.remove(job.uid)
        self._entries[job.uid] = entry
        for jobs in self._lists(model_id):
            jobs.insert(key, job)

    def remove(self, uid: str) -> None:
        """Remove the job, if it is in the queue, by the key under which it was inserted."""
        key, model_id = self._entries.pop(uid, (None, None))
        if key is None:
            return
        for jobs in self._lists(model_id):
            jobs.remove(key)
        if model_id is not None and not self._trainings[model_id].jobs:
            del self._trainings[model_id]

    def _lists(self, model_id: str | None) -> list["_SortedJobs"]:
        """The lists that contain a job which trains this model, if it is not None."""
        return [self._all] if model_id is None else [self._all, self._trainings.setdefault(model_id, _SortedJobs())]

    def refresh(self, now: datetime) -> None:
        """Compute all keys again, if the policy depends on time and they are too old. Called for each snapshot."""
        seconds = self._policy.refresh_seconds
        if seconds is None or abs((now - self._keyed_at).total_seconds()) < seconds:
            return
        self._keyed_at = now
        for job in list(self):
            self.put(job)

    @property
    def uids(self) -> Collection[str]:
        """Of all unfinished jobs."""
        return self._entries.keys()

    def precedes(self, first: Job, second: Job) -> bool:
        """Whether the first of two jobs of the queue is before the second."""
        return self._entries[first.uid][0] < self._entries[second.uid][0]

    @property
    def trained_models(self) -> Iterable[str]:
        """The models of unfinished trainings."""
        return self._trainings.keys()

    def trainings_of(self, model_id: str) -> list[Job]:
        """The unfinished trainings of a model, in the order of the queue."""
        return self._trainings[model_id].jobs if model_id in self._trainings else []

    def trainings_before(self, job: Job, model_id: str) -> list[Job]:
        """The unfinished trainings of a model that were created before a job of the queue, without those being
        deleted. Their priority does not matter."""
        if job.uid not in self._entries:
            return []
        return [each for each in self.trainings_of(model_id) if not each.deleting and _age(each) < _age(job)]


class _SortedJobs:
    """Jobs in the order of their sort keys: two lists of the same length."""

    def __init__(self) -> None:
        self._keys: list[SortKey] = []
        self.jobs: list[Job] = []

    def insert(self, key: SortKey, job: Job) -> None:
        index = bisect_left(self._keys, key)
        self._keys.insert(index, key)
        self.jobs.insert(index, job)

    def replace(self, key: SortKey, job: Job) -> None:
        self.jobs[bisect_left(self._keys, key)] = job

    def remove(self, key: SortKey) -> None:
        index = bisect_left(self._keys, key)
        del self._keys[index], self.jobs[index]


def _age(job: Job) -> tuple[datetime, int]:
    """Creation times have whole seconds."""
    return job.created, job.order


def _trained_model(job: Job) -> str | None:
    return job.spec.model_id if job.kind is Kind.TRAIN else None
