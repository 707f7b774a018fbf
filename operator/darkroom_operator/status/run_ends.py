"""Which status change is the end of a run, and how the run ended. Pure; used for metrics."""

from dataclasses import dataclass

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import ConditionReason
from darkroom_contract.status import ConditionType, JobStatus, Phase
from darkroom_operator.kube.objects import aware
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.status.conditions import find

_UNCOUNTED = (Reason.MODEL_NOT_FOUND, ConditionReason.IDLE_POD_GONE)
"""Reasons of ends after which the job is queued again at once."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of one run."""

    kind: Kind
    result: str
    """succeeded, failed (with the job), retried (another run follows), interrupted (from outside) or suspended."""
    reason: str
    """As in the job's conditions; empty if the run succeeded."""
    seconds: float | None
    """The lifetime of its container, or the run's own measure if its container lives on; None if it never started or
    its end was not seen."""


def end_of_run(job: Job, after: JobStatus, pod: RunnerPod | None) -> RunEnd | None:
    """The run end that a status change records, if any; `pod` is that of the run. A run that never got its pod counts,
    as it does for backoffLimit."""
    before = job.status
    if before.phase is not None and before.phase.is_terminal:
        return None
    seconds = None if pod is None else _seconds(job, after, pod)
    if after.phase is Phase.SUCCEEDED:
        return RunEnd(job.kind, "succeeded", "", seconds)
    if after.phase is Phase.FAILED:
        return RunEnd(job.kind, "failed", _reason(after, ConditionType.FAILED), seconds)
    ready_reason = _reason(after, ConditionType.POD_READY)
    if after.interruptions > before.interruptions:
        return RunEnd(job.kind, "interrupted", ready_reason, seconds)
    # A run that made progress before it failed is not counted as a failure, but retried like the others.
    if after.next_attempt_time not in (None, before.next_attempt_time) or after.failures > before.failures:
        return RunEnd(job.kind, "retried", ready_reason, seconds)
    if before.slot is not None and after.phase is Phase.QUEUED and ready_reason in _UNCOUNTED:
        return RunEnd(job.kind, "retried", ready_reason, seconds)
    if before.slot is not None and after.phase is Phase.SUSPENDED:
        return RunEnd(job.kind, "suspended", _reason(after, ConditionType.ADMITTED), seconds)
    return None


def _seconds(job: Job, after: JobStatus, pod: RunnerPod) -> float | None:
    """A container that carries out several runs has no lifetime of a run."""
    if pod.started is None:
        return None
    if pod.finished is None or pod.is_warm:
        reported = after.progress.metrics.get("seconds") if after.phase is Phase.SUCCEEDED and after.progress else None
        return reported if reported is not None else _since_start(job, pod)
    return (pod.finished - pod.started).total_seconds()


def _since_start(job: Job, pod: RunnerPod) -> float | None:
    if pod.finished is None or job.status.run_start_time is None:
        return None
    return max(0.0, (pod.finished - aware(job.status.run_start_time)).total_seconds())


def _reason(status: JobStatus, kind: ConditionType) -> str:
    found = find(status, kind)
    return "" if found is None else found.reason
