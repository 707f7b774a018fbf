"""What the operator may do, as values: one request to the API server each.

Decided by `steps.py` and `chores.py`, sent by `requests.py`.
"""

from dataclasses import dataclass

from darkroom_contract.jobs import Job
from darkroom_contract.status import JobStatus
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import UnreadableJob


@dataclass(frozen=True, slots=True)
class AssignSlot:
    """Give a slot to a job, or free it."""

    slot: Slot
    job: Job | None


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make the pod of a run, gated. Harmless when it exists."""

    job: Job
    attempt: int
    slot: int


@dataclass(frozen=True, slots=True)
class ConfirmPod:
    """Write into the slot which pod its holder is about to let go: refused when the slot changed hands."""

    slot: Slot
    pod: RunnerPod


@dataclass(frozen=True, slots=True)
class UngatePod:
    """Take our gate away from a pod: from now on it may run, as far as we are concerned."""

    pod: RunnerPod


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Ask for a pod's end. It stays until its node says that it is over.

    Refused when the pod is no longer as it was when this was decided.
    """

    pod: RunnerPod
    why: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Refused when the job is no longer as it was when the status was decided."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class Requeue:
    """Write the status of a job that seems to have lost the slot which its status names, once the Lease itself was
    asked: no watch may have shown it yet."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class UpdateQueuePosition:
    """Write the status of a job that waits on, with its new place and estimate. There may be very many of them."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class ObserveGeneration:
    """Write into the status of a finished job that its newest spec was seen. There may be very many of them."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class FailUnreadableJob:
    """Say in the status of a job that can't be read what is wrong with it."""

    job: UnreadableJob


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """The job's time to live after its end is over."""

    job: Job


@dataclass(frozen=True, slots=True)
class VerifyPods:
    """Ask the API server itself which pods of a job there are: no watch has shown the one that there should be."""

    job_uid: str
    expected_uid: str


@dataclass(frozen=True, slots=True)
class VerifyHolder:
    """Ask the API server itself whether the job that holds a slot exists: no watch has shown it."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """Ask the API server itself whether a pod's job exists: no watch has shown it."""

    pod: RunnerPod


Action = (
    AssignSlot
    | CreatePod
    | ConfirmPod
    | UngatePod
    | DeletePod
    | WriteStatus
    | Requeue
    | UpdateQueuePosition
    | ObserveGeneration
    | FailUnreadableJob
    | DeleteJob
    | VerifyPods
    | VerifyHolder
    | VerifyJob
)
