"""What became of a run: its pod in, a verdict out. Pure; used by `statuses.py`."""

from dataclasses import dataclass

from pydantic import ValidationError

from darkroom_contract.outcome import Outcome, Reason
from darkroom_contract.status import JobStatus
from darkroom_operator.runner_pod import RunnerPod

OOM_KILLED = "OOMKilled"
"""The kubelet's word for a container that the kernel killed for its memory."""

TOO_MUCH = "The run told of more artifacts, or of longer names, than a job's status can hold."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed."""

    reason: Reason
    message: str


def judge(pod: RunnerPod | None) -> Outcome | Failure:
    """The outcome of a run that succeeded, or why it failed. None: its pod is gone, and nobody saw how it ended."""
    if pod is None:
        return Failure(Reason.POD_LOST, "The pod was deleted before it told how the run ended.")
    outcome = Outcome.from_message(pod.termination_message)
    if outcome is None:
        return _without_word(pod)
    if outcome.succeeded:
        return outcome if _fits(outcome) else Failure(Reason.INTERNAL_ERROR, TOO_MUCH)
    return Failure(outcome.reason or Reason.INTERNAL_ERROR, outcome.message)


def _fits(outcome: Outcome) -> bool:
    """Whether a status can hold it; one that the API server refuses would keep the slot for ever."""
    try:
        JobStatus(artifacts=outcome.artifacts)
    except ValidationError:
        return False
    return True


def _without_word(pod: RunnerPod) -> Failure:
    """The run left no outcome: it was killed, or never began."""
    if pod.exit_reason == OOM_KILLED:
        message = "The kernel killed the run because it took more memory than its container may have."
        return Failure(Reason.OUT_OF_MEMORY, message)
    words = ": ".join(each for each in (pod.waiting_reason or pod.exit_reason, pod.waiting_message) if each)
    if pod.exit_code is not None:
        words = f"exit code {pod.exit_code}" + (f" ({words})" if words else "")
    return Failure(Reason.POD_FAILED, f"The pod ended without telling an outcome: {words or 'no reason is given'}.")
