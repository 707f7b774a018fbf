"""The state of jobs, pods and slots at one moment: the plain data of every decision. Built by `cache/cache.py`."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from darkroom_contract.handover import SignedOutcome
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
    """A job that this release can't parse: it predates a narrower bound, or bypassed the schema."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    version: str
    failed: bool
    """Whether its status is terminal already."""
    fault: str
    """The validation errors."""


@dataclass(frozen=True)
class Snapshot:
    """Jobs and pods by uid, slots by number."""

    now: datetime
    slot_count: int
    slots: Mapping[int, Slot]
    jobs: Mapping[str, Job] = field(default_factory=dict)
    pending: PendingQueue = field(default_factory=PendingQueue)
    """The unfinished jobs, in the order of the queue policy."""
    unreadable: Mapping[str, UnreadableJob] = field(default_factory=dict)
    rejected: Mapping[str, Failure] = field(default_factory=dict)
    """Jobs that no run can finish, and why (`preflight.py`). They get no slot."""
    pods: Mapping[str, RunnerPod] = field(default_factory=dict)
    deleted: Container[str] = frozenset()
    """Uids of objects that are known to be deleted, unlike those that were not seen yet."""
    last_seen: Mapping[str, RunnerPod] = field(default_factory=dict)
    """The last state of deleted pods that a watch has delivered: it shows how their runs ended."""
    progress: Mapping[str, ProgressEvent] = field(default_factory=dict)
    """The newest progress event of a job's run, by the job's uid."""
    outcomes: Mapping[str, SignedOutcome] = field(default_factory=dict)
    """By the pod's uid, the verified outcome of a run whose process waits for its next run."""
    template: str | None = None
    """The `RunnerPod.template` of a pod that was created now. None without warm pods."""
    durations: DurationEstimator = field(default_factory=DurationEstimator)

    @cached_property
    def holders(self) -> frozenset[str]:
        """Uids of the jobs that hold a slot."""
        return frozenset(slot.holder for slot in self.slots.values() if slot.holder)

    @cached_property
    def last_trainings(self) -> Mapping[str, Job]:
        """By model, the last of its unfinished trainings in the queue, even if suspended or backing off. Trainings that
        are being deleted don't count."""
        found = ((model, self._last_training(model)) for model in self.pending.trained_models)
        return {model: job for model, job in found if job is not None}

    def _last_training(self, model_id: str) -> Job | None:
        return next((job for job in reversed(self.pending.trainings_of(model_id)) if not job.deleting), None)

    @cached_property
    def _pods_by_job(self) -> Mapping[str, list[RunnerPod]]:
        found: dict[str, list[RunnerPod]] = {}
        for pod in self.pods.values():
            found.setdefault(pod.job_uid, []).append(pod)
        return found

    def pods_of(self, job_uid: str) -> list[RunnerPod]:
        """For many jobs in turn: the first call sorts all pods by job."""
        return self._pods_by_job.get(job_uid, [])

    def find_pods(self, job_uid: str) -> list[RunnerPod]:
        """For a single job."""
        return [pod for pod in self.pods.values() if pod.job_uid == job_uid]

    def active_pods(self, slot: int) -> Iterator[RunnerPod]:
        """The active pods of a slot; see `RunnerPod.active`. Of many pods, most are terminated: that is asked first."""
        return (pod for pod in self.pods.values() if not pod.terminated and pod.slot == slot and pod.active)
