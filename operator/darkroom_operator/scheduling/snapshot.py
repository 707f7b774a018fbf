"""What is known at one moment: the plain data that all decisions are made on. Built by `cache.py`."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.progress import ProgressEvent
from darkroom_operator.pods.pod_outcome import Failure
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.queue import PendingQueue
from darkroom_operator.scheduling.runtime_history import DurationEstimator
from darkroom_operator.scheduling.slot import Slot


@dataclass(frozen=True, slots=True)
class UnreadableJob:
    """A job that this release can't read: from before a bound was narrowed, or written behind the schema's back."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    version: str
    failed: bool
    """Its status says so already."""
    fault: str
    """What is wrong with it."""


@dataclass(frozen=True)
class Snapshot:
    """Jobs, pods and slots by uid or number. `gone` holds uids that are known not to exist any more, as opposed to
    those that only were not seen yet."""

    now: datetime
    slot_count: int
    slots: Mapping[int, Slot]
    jobs: Mapping[str, Job] = field(default_factory=dict)
    line: PendingQueue = field(default_factory=PendingQueue)
    """Those that have not ended, in the order in which they are admitted."""
    broken: Mapping[str, UnreadableJob] = field(default_factory=dict)
    refused: Mapping[str, Failure] = field(default_factory=dict)
    """Jobs that no run can finish, and why (`preflight.py`). They take no slot."""
    pods: Mapping[str, RunnerPod] = field(default_factory=dict)
    deleted: Container[str] = frozenset()
    last_seen: Mapping[str, RunnerPod] = field(default_factory=dict)
    """The last state of pods that are gone, where a watch showed it: how their runs ended."""
    progress: Mapping[str, ProgressEvent] = field(default_factory=dict)
    """The newest event of a job's run, by the job's uid."""
    durations: DurationEstimator = field(default_factory=DurationEstimator)
    """What past runs took."""

    @cached_property
    def holders(self) -> frozenset[str]:
        """Uids of the jobs that hold a slot."""
        return frozenset(slot.holder for slot in self.slots.values() if slot.holder)

    @cached_property
    def last_trainings(self) -> Mapping[str, Job]:
        """By model, the last in the queue of its unfinished trainings that are not being deleted. A training that is
        suspended or waits for another try is one of them."""
        found = ((model, self._last_training(model)) for model in self.line.trained_models)
        return {model: job for model, job in found if job is not None}

    def _last_training(self, model_id: str) -> Job | None:
        return next((job for job in reversed(self.line.trainings_of(model_id)) if not job.deleting), None)

    @cached_property
    def _pods_by_job(self) -> Mapping[str, list[RunnerPod]]:
        found: dict[str, list[RunnerPod]] = {}
        for pod in self.pods.values():
            found.setdefault(pod.job_uid, []).append(pod)
        return found

    def pods_of(self, job_uid: str) -> list[RunnerPod]:
        return self._pods_by_job.get(job_uid, [])

    def active_pods(self, slot: int) -> Iterator[RunnerPod]:
        """Pods that were let go for a slot and are not over."""
        return (pod for pod in self.pods.values() if pod.slot == slot and pod.active)
