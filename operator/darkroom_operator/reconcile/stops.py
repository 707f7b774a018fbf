"""Why a run is stopped before it ends by itself: suspension, a deadline, or deletion. Pure; used by `plan_slot.py`."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionStatus, ConditionType, Phase
from darkroom_operator.kube.objects import aware
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.job_state import has_started
from darkroom_operator.status.conditions import find
from darkroom_operator.status.pod_condition import NODE_LOST_ADVICE

SUSPENDED = "Suspended"
DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run is stopped."""

    reason: str
    message: str


def stop_of(job: Job, pod: RunnerPod, now: datetime) -> Stop | None:
    """Why the run should be stopped, or None. A recorded stop is permanent."""
    if job.deleting:
        return Stop(DELETED, "The job is being deleted.")
    if (recorded := recorded_stop(job)) is not None:
        return recorded
    spec = job.spec
    if spec.suspend:
        return Stop(SUSPENDED, "spec.suspend is true: the run is being stopped.")
    if pod.started is None and not has_started(job) and now >= start_deadline(job, pod):
        cause = pod.pending_reason or "no reason is given"
        message = f"The pod had not started after {spec.start_deadline_seconds} s: {cause}."
        return Stop(Reason.START_DEADLINE_EXCEEDED, message)
    deadline = active_deadline(job, pod)
    if deadline is not None and now >= deadline:
        return Stop(Reason.ACTIVE_DEADLINE_EXCEEDED, f"The run took longer than {spec.active_deadline_seconds} s.")
    return None


def start_deadline(job: Job, pod: RunnerPod) -> datetime:
    return pod.created + timedelta(seconds=job.spec.start_deadline_seconds)


def active_deadline(job: Job, pod: RunnerPod) -> datetime | None:
    """Counted from when the operator first saw the run, by the API server's clock: a node has its own.

    If the status lacks that moment (CRDs of an older release drop it), the start by the node's clock is used, but none
    before the pod was created. A warm pod started before its run: then there is no deadline.
    """
    seconds = job.spec.active_deadline_seconds
    if seconds is None or pod.started is None or job.status.phase is not Phase.RUNNING:
        return None
    started = job.status.run_start_time or (None if pod.is_warm else max(pod.started, pod.created))
    return None if started is None else aware(started) + timedelta(seconds=seconds)


def recorded_stop(job: Job) -> Stop | None:
    """The stop that the status records: why a pod was stopped must survive the pod and the operator."""
    found = find(job.status, ConditionType.POD_READY)
    reasons = (SUSPENDED, Reason.START_DEADLINE_EXCEEDED, Reason.ACTIVE_DEADLINE_EXCEEDED)
    if found is None or found.status is not ConditionStatus.FALSE or found.reason not in reasons:
        return None
    return Stop(found.reason, found.message.removesuffix(f" {NODE_LOST_ADVICE}"))
