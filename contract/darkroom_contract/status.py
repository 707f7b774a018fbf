"""The status of a job. Only the operator writes it; the gateway and kubectl users read it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from darkroom_contract.outcome import Artifact
from darkroom_contract.progress import FinishedImage, Stage
from darkroom_contract.remarks import MAX_REMARKS, Remark
from darkroom_contract.schema import Schema
from darkroom_contract.specs.images import MAX_IMAGES


class Phase(StrEnum):
    """A job's state. `Succeeded` and `Failed` are final."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"

    @property
    def is_terminal(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED)


class RunStart(StrEnum):
    """How a run starts."""

    COLD = "Cold"
    """In a new pod, which imports the libraries and loads the base model."""
    WARM = "Warm"
    """In the idle pod of an earlier run."""


class ConditionType(StrEnum):
    """The conditions of a job."""

    ADMITTED = "Admitted"
    POD_READY = "PodReady"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class ConditionStatus(StrEnum):
    """Kubernetes' three truth values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Schema):
    """A metav1.Condition: a stable reason for programs and a message for people."""

    type: str = Field(
        max_length=64,
        description="Admitted, PodReady, Suspended, Complete or Failed. There is at most one condition of each type.",
    )
    status: ConditionStatus = Field(description="Whether the condition holds: True, False or Unknown.")
    reason: str = Field(
        max_length=64,
        pattern="^[A-Z][A-Za-z0-9]*$",
        description="Reason in one CamelCase word, for programs. Part of the API and never renamed; the reference"
        " explains each one.",
    )
    message: str = Field(
        "",
        max_length=2000,
        description="Explanation for people: what happened and, after a failure, what to do. Not for programs: "
        "its wording may change in any release.",
    )
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        None,
        ge=0,
        description="The job's metadata.generation that this condition is based on. When it is lower than the "
        "job's, the condition does not reflect the newest spec yet.",
    )


class QueueStatus(Schema):
    """The place of a waiting job in the queue."""

    position: int | None = Field(
        None,
        ge=0,
        description="Number of waiting jobs that run before it; 0 is next. Exact for the first ten, within a "
        "quarter beyond them.",
    )
    estimated_start_time: datetime | None = Field(
        None,
        description="Estimated time of admission, from the durations of past runs. Absent until jobs like those "
        "before it have run.",
    )
    waiting_for: str | None = Field(
        None,
        max_length=253,
        description="Job that holds the slot, as Kind/name. Shown for the first ten jobs of the queue.",
    )


Metric = Annotated[float, Field(description="The value. Its name says what it counts; durations are in seconds.")]


class ProgressStatus(Schema):
    """Newest progress of the current run."""

    stage: Stage = Field(
        description="What the run is doing. Stages run in the order in which they are listed; a job skips those "
        "that it does not need."
    )
    step: int = Field(
        0, ge=0, description="Completed steps of this stage; after success those of the training or of all images."
    )
    total: int = Field(0, ge=0, description="Steps of this stage; 0 when it is not counted in steps.")
    progress_percentage: float = Field(
        0.0, ge=0.0, le=100.0, description="Progress of the whole run, over all of its stages, in percent."
    )
    estimated_remaining_seconds: float | None = Field(
        None,
        ge=0.0,
        description="Estimated seconds until the end of the run, from its own speed so far. Absent until that is "
        "known.",
    )
    metrics: Annotated[dict[str, Metric], Field(max_length=32)] = Field(
        default_factory=dict,
        description="Numbers by name, such as loss and learningRate during training; after success the totals, "
        "such as seconds and finalLoss.",
    )
    finished_images: Annotated[tuple[FinishedImage, ...], Field(max_length=MAX_IMAGES)] | None = Field(
        None,
        description="Images of a generation that are in object storage before the job has ended. The gateway links to "
        "them. Absent before the first one; after success artifacts lists all files.",
    )
    last_updated_time: datetime = Field(
        description="When the run reported this. A run without news for long may hang: see activeDeadlineSeconds."
    )


class JobStatus(Schema):
    """State of the job, written by the operator."""

    phase: Phase | None = Field(
        None,
        description="The job's state in one word. Queued: waits for the slot. Starting: its pod does not run yet."
        " Running: its run works. Suspended: waits until spec.suspend is false. Succeeded, Failed: "
        "finished.",
    )
    queue: QueueStatus | None = Field(None, description="Place in the queue. Present while the job waits for the slot.")
    attempts: int = Field(
        0, ge=0, description="Runs started so far. A suspended run counts here, but not as a failure."
    )
    failures: int = Field(
        0,
        ge=0,
        description="Failed runs that count against spec.backoffLimit. Interruptions do not count, nor does a "
        "failed training run that saved a later state than the runs before it.",
    )
    interruptions: int = Field(
        0,
        ge=0,
        description="Runs that ended for a cause outside Darkroom: an eviction, a preemption, a drained node, a "
        "node shutdown. They do not count against spec.backoffLimit.",
    )
    saved_step: int | None = Field(
        None,
        ge=0,
        description="Newest training step whose state a failed or interrupted run saved. The next run resumes from it.",
    )
    next_attempt_time: datetime | None = Field(
        None, description="Earliest time of the next run. Present after a failed run, until the next one starts."
    )
    pod_name: str | None = Field(
        None,
        max_length=253,
        description="Pod of the current or last run, in the job's namespace, for kubectl logs.",
    )
    pod_uid: str | None = Field(
        None,
        max_length=64,
        description="Uid of that pod, which distinguishes it from another pod of the same name.",
    )
    admission_order: int | None = Field(
        None,
        ge=0,
        description="The job's resource version when the operator first saw it: the order among jobs created "
        "within the same second.",
    )
    slot: int | None = Field(
        None,
        ge=0,
        description="Number of the slot that the job holds, from 0. Present from its admission until its run is over.",
    )
    progress: ProgressStatus | None = Field(
        None,
        description="Newest progress of the current run, or the totals of a succeeded job. Needs Redis during the run.",
    )
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=64)] | None = Field(
        None,
        description="Files that the job made, in object storage. Present once it has succeeded. The gateway links"
        " to them.",
    )
    remarks: Annotated[tuple[Remark, ...], Field(max_length=MAX_REMARKS)] | None = Field(
        None,
        description="What the run cut, left out, converted or replaced: a prompt that was too long, photos of an "
        "unknown format, a sampler's setting. Absent when there is nothing to report. Each is an "
        "Event too.",
    )
    start_time: datetime | None = Field(None, description="When the first run was admitted.")
    run_start: RunStart | None = Field(
        None,
        description="How the current or last run started. Cold: in a new pod, which loads libraries and base model. "
        "Warm: in the idle pod of an earlier run, which has both in memory.",
    )
    run_start_time: datetime | None = Field(
        None,
        description="When the current run's container was first seen running, by the API server's clock. "
        "spec.activeDeadlineSeconds counts from here.",
    )
    completion_time: datetime | None = Field(
        None, description="When the job finished, successfully or not. spec.ttlSecondsAfterFinished counts from here."
    )
    observed_generation: int | None = Field(
        None,
        ge=0,
        description="The metadata.generation that this status is based on. When it is lower than the job's, the "
        "operator has not seen the newest change yet.",
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="The job's state in detail, for kubectl wait and programs. Admitted: it holds a slot. "
        "PodReady: its run works. Suspended: it was taken out of the queue. Complete: it succeeded. "
        "Failed: it failed for good.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
