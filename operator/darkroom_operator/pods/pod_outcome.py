"""What became of a run: its pod in, a verdict out. Pure; used by `transitions.py`."""

from dataclasses import dataclass

from pydantic import ValidationError

from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.remarks import Remark
from darkroom_contract.status import JobStatus
from darkroom_operator.pods.runner_pod import EVICTED, RunnerPod

OOM_KILLED = "OOMKilled"
"""The kubelet's word for a container that the kernel killed for its memory."""

TOO_MUCH = "The run's outcome has more artifacts, or longer names, than a job's status can hold."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed, or what interrupted it."""

    reason: Reason
    message: str
    interrupted: bool = False
    """Something outside of Darkroom ended the run: it does not count against spec.backoffLimit."""
    saved_step: int | None = None
    """The newest training step whose state the run saved."""
    remarks: tuple[Remark, ...] = ()
    """What the run had remarked before it failed."""


def classify_pod(pod: RunnerPod | None) -> Outcome | Failure:
    """The outcome of a run that succeeded, or why it failed. None: its pod is gone, and nobody saw how it ended."""
    if pod is None:
        return Failure(Reason.POD_LOST, "The pod was deleted before it reported how the run ended.")
    outcome = Outcome.from_message(pod.termination_message)
    if outcome is None:
        return _without_outcome(pod)
    if outcome.succeeded:
        return outcome if _fits(outcome) else Failure(Reason.INTERNAL_ERROR, TOO_MUCH)
    if outcome.reason is Reason.INTERRUPTED:
        return _interruption(pod, outcome)
    reason = outcome.reason or Reason.INTERNAL_ERROR
    return Failure(reason, outcome.message, saved_step=outcome.saved_step, remarks=outcome.remarks)


def _interruption(pod: RunnerPod, outcome: Outcome) -> Failure:
    """Something other than the operator stopped the run. A pod that the kubelet evicts for its own use of storage,
    which is no disruption in Kubernetes' sense, would be evicted again for ever: that is a failure."""
    if pod.waiting_reason == EVICTED and not pod.disruption:
        return Failure(Reason.POD_FAILED, _ended_words(pod), saved_step=outcome.saved_step)
    message = f"The run was interrupted: {pod.disruption.rstrip('.')}." if pod.disruption else outcome.message
    return Failure(Reason.INTERRUPTED, message, interrupted=True, saved_step=outcome.saved_step)


def _fits(outcome: Outcome) -> bool:
    """Whether a status can hold it; one that the API server refuses would keep the slot for ever."""
    try:
        JobStatus(artifacts=outcome.artifacts)
    except ValidationError:
        return False
    return True


def _without_outcome(pod: RunnerPod) -> Failure:
    """The run left no outcome: it was killed, or never began."""
    if pod.exit_reason == OOM_KILLED:
        message = "The kernel killed the run because it took more memory than its container may have."
        return Failure(Reason.OUT_OF_MEMORY, message)
    if pod.disruption:
        return Failure(Reason.INTERRUPTED, f"The run was interrupted: {pod.disruption.rstrip('.')}.", interrupted=True)
    return Failure(Reason.POD_FAILED, _ended_words(pod))


def _ended_words(pod: RunnerPod) -> str:
    words = ": ".join(each for each in (pod.waiting_reason or pod.exit_reason, pod.waiting_message) if each)
    if pod.exit_code is not None:
        words = f"exit code {pod.exit_code}" + (f" ({words})" if words else "")
    return f"The pod ended without reporting an outcome: {words or 'no reason is given'}."
