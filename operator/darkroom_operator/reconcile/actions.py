"""The actions of the operator, as values. Each one is a single request to the API server, or a look-up.

Planned by `plan_slot.py` and `housekeeping.py`, sent by `executor.py`.
"""

from dataclasses import dataclass

from darkroom_contract.jobs import Job
from darkroom_contract.status import JobStatus
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import UnreadableJob


@dataclass(frozen=True, slots=True)
class AssignSlot:
    """Assign a slot to a job, or free it."""

    slot: Slot
    job: Job | None
    idle_pod: RunnerPod | None = None
    """Stays in the slot, for this job or the next one."""


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the gated pod of a run. Idempotent."""

    job: Job
    attempt: int
    slot: int


@dataclass(frozen=True, slots=True)
class ConfirmPod:
    """Record in the slot which pod is about to be ungated. Refused if the slot has a new holder."""

    slot: Slot
    pod: RunnerPod


@dataclass(frozen=True, slots=True)
class UngatePod:
    """Remove our scheduling gate from a pod, so that it can run."""

    pod: RunnerPod


@dataclass(frozen=True, slots=True)
class AcknowledgeRun:
    """Report to a pod that the outcome of its run is in the job's status: it is idle from then on. Refused if the pod
    has changed."""

    pod: RunnerPod


@dataclass(frozen=True, slots=True)
class TakeOverPod:
    """Make an idle pod the pod of a job's next run, by its labels and its owner. Refused if the pod has changed."""

    pod: RunnerPod
    job: Job
    attempt: int


@dataclass(frozen=True, slots=True)
class GiveRun:
    """Write the run document to a pod that was taken over, which carries it out. Refused if the pod has changed."""

    pod: RunnerPod
    job: Job


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod gracefully: it exists until its node has stopped it. Refused if the pod has changed."""

    pod: RunnerPod
    why: str


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Refused if the job has changed."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class Requeue:
    """Write the status of a job that has lost the slot which its status names, after reading the Lease: a watch may not
    have delivered it yet."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class UpdateQueuePosition:
    """Write the new queue position and estimated start of a waiting job. Low priority: there may be very many."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class ObserveGeneration:
    """Write the new observed generation of a finished job. Low priority: there may be very many."""

    job: Job
    status: JobStatus


@dataclass(frozen=True, slots=True)
class FailUnreadableJob:
    """Write into the status of a job that can't be parsed what is wrong with it."""

    job: UnreadableJob


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete a finished job whose time to live is over."""

    job: Job


@dataclass(frozen=True, slots=True)
class VerifyPods:
    """List the pods of a slot: no watch has delivered the expected one. Not by its job, which changes when another job
    takes the pod over."""

    slot: int
    expected_uid: str


@dataclass(frozen=True, slots=True)
class VerifyHolder:
    """Read the job that holds a slot: no watch has delivered it."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """Read the job of a pod: no watch has delivered it."""

    pod: RunnerPod


Action = (
    AssignSlot
    | CreatePod
    | ConfirmPod
    | UngatePod
    | AcknowledgeRun
    | TakeOverPod
    | GiveRun
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
