"""Which changes of a job's status are the end of a run, and how it ended. Pure; used by `requests.py`."""

from dataclasses import dataclass

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.outcome import Reason
from darkroom_contract.status import ConditionType, JobStatus, Phase
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.status.conditions import find


@dataclass(frozen=True, slots=True)
class RunEnd:
    """One run that is over."""

    kind: Kind
    result: str
    """succeeded, failed (the job with it), retried (another follows), interrupted (from outside) or suspended."""
    reason: str
    """A word for programs, as in the job's conditions; empty when it succeeded."""
    seconds: float | None
    """From its container's start to its end; None when it never started, or nobody saw it."""


def end_of_run(job: Job, after: JobStatus, pod: RunnerPod | None) -> RunEnd | None:
    """The end that this change of the job's status tells of, if it does; `pod` is that of the run. A run that never got
    its pod counts, as it does for backoffLimit."""
    before = job.status
    if before.phase is not None and before.phase.is_terminal:
        return None
    seconds = None if pod is None else _seconds(pod)
    if after.phase is Phase.SUCCEEDED:
        return RunEnd(job.kind, "succeeded", "", seconds)
    if after.phase is Phase.FAILED:
        return RunEnd(job.kind, "failed", _reason(after, ConditionType.FAILED), seconds)
    if after.failures > before.failures:
        return RunEnd(job.kind, "retried", _reason(after, ConditionType.POD_READY), seconds)
    if after.interruptions > before.interruptions:
        return RunEnd(job.kind, "interrupted", _reason(after, ConditionType.POD_READY), seconds)
    if (
        before.slot is not None
        and after.phase is Phase.QUEUED
        and _reason(after, ConditionType.POD_READY) == Reason.MODEL_NOT_FOUND
    ):
        return RunEnd(job.kind, "retried", Reason.MODEL_NOT_FOUND, seconds)
    if after.phase is Phase.SUSPENDED and before.slot is not None:
        return RunEnd(job.kind, "suspended", _reason(after, ConditionType.ADMITTED), seconds)
    return None


def _seconds(pod: RunnerPod) -> float | None:
    if pod.started is None or pod.finished is None:
        return None
    return (pod.finished - pod.started).total_seconds()


def _reason(status: JobStatus, kind: ConditionType) -> str:
    found = find(status, kind)
    return "" if found is None else found.reason
