"""How a run ended: classifies its pod as an outcome or a failure. Pure."""

from dataclasses import dataclass

from pydantic import ValidationError

from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.remarks import Remark
from darkroom_contract.status import JobStatus
from darkroom_operator.pods.runner_pod import EVICTED, RunnerPod

OOM_KILLED = "OOMKilled"
"""The kubelet's reason for a container that exceeded its memory limit."""

OUTCOME_TOO_LARGE = "The outcome of the run has more artifacts, or longer names, than the status of a job can hold."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed or was interrupted."""

    reason: Reason
    message: str
    interrupted: bool = False
    """The run was ended from outside Darkroom: it does not count against spec.backoffLimit."""
    saved_step: int | None = None
    """The last training step that the run has saved."""
    remarks: tuple[Remark, ...] = ()
    """The remarks of the run before it failed."""
    never_began: bool = False
    """The pod was taken over and ended before it began the run."""


def classify_pod(pod: RunnerPod | None) -> Outcome | Failure:
    """The outcome of a successful run, or why it failed. None stands for a deleted pod whose end was not seen."""
    if pod is None:
        return Failure(Reason.POD_LOST, "The pod was deleted before it reported how the run ended.")
    outcome = Outcome.from_message(pod.termination_message)
    if pod.is_warm and not (outcome is not None and _is_of_this_run(outcome, pod)):
        return _without_warm_outcome(pod, outcome)
    if outcome is None:
        return _without_outcome(pod)
    if outcome.succeeded:
        return outcome if fits_status(outcome) else Failure(Reason.INTERNAL_ERROR, OUTCOME_TOO_LARGE)
    if outcome.reason is Reason.INTERRUPTED:
        return _interruption(pod, outcome)
    reason = outcome.reason or Reason.INTERNAL_ERROR
    return Failure(reason, outcome.message, saved_step=outcome.saved_step, remarks=outcome.remarks)


def _is_of_this_run(outcome: Outcome, pod: RunnerPod) -> bool:
    return (outcome.job_uid, outcome.attempt) == (pod.job_uid, pod.attempt)


def _without_warm_outcome(pod: RunnerPod, earlier: Outcome | None) -> Failure:
    """A pod that was taken over has reported no outcome of its run, but perhaps one of an earlier run. It exits with 0
    and that one if nothing came before its idle time was over."""
    if pod.has_run and (earlier is None or pod.exit_code != 0):
        return _without_outcome(pod)
    message = f"The idle pod {pod.name} ended before it began the run. The run is repeated in a new pod."
    return Failure(Reason.INTERRUPTED, message, interrupted=True, never_began=True)


def _interruption(pod: RunnerPod, outcome: Outcome) -> Failure:
    """The run was stopped, but not by the operator. An eviction because of the pod's own storage usage has no
    DisruptionTarget condition and would happen again in every run: it is a failure."""
    if pod.waiting_reason == EVICTED and not pod.disruption:
        return Failure(Reason.POD_FAILED, _end_message(pod), saved_step=outcome.saved_step)
    message = f"The run was interrupted: {pod.disruption.rstrip('.')}." if pod.disruption else outcome.message
    return Failure(Reason.INTERRUPTED, message, interrupted=True, saved_step=outcome.saved_step)


def fits_status(outcome: Outcome) -> bool:
    """Whether a status can hold the outcome. If the API server rejected the status, the slot would never be freed."""
    try:
        JobStatus(artifacts=outcome.artifacts)
    except ValidationError:
        return False
    return True


def _without_outcome(pod: RunnerPod) -> Failure:
    """The run reported no outcome: it was killed, or never started."""
    if pod.exit_reason == OOM_KILLED:
        message = "The kernel killed the run: its container exceeded the memory limit."
        return Failure(Reason.OUT_OF_MEMORY, message)
    if pod.disruption:
        return Failure(Reason.INTERRUPTED, f"The run was interrupted: {pod.disruption.rstrip('.')}.", interrupted=True)
    return Failure(Reason.POD_FAILED, _end_message(pod))


def _end_message(pod: RunnerPod) -> str:
    detail = ": ".join(each for each in (pod.waiting_reason or pod.exit_reason, pod.waiting_message) if each)
    if pod.exit_code is not None:
        detail = f"exit code {pod.exit_code}" + (f" ({detail})" if detail else "")
    return f"The pod ended without reporting an outcome: {detail or 'no reason is given'}."
