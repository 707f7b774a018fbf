"""What a job's status says. Written by the operator alone; read by the gateway and by people with kubectl."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from darkroom_contract.outcome import Artifact
from darkroom_contract.progress import Stage
from darkroom_contract.remarks import MAX_REMARKS, Remark
from darkroom_contract.schema import Schema


class Phase(StrEnum):
    """Where a job is. `Succeeded` and `Failed` are final."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"

    @property
    def is_terminal(self) -> bool:
        return self in (Phase.SUCCEEDED, Phase.FAILED)


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
    """One observation, as metav1.Condition has it: a stable reason for programs and a message for people."""

    type: str = Field(
        max_length=64,
        description="What is observed: Admitted, PodReady, Suspended, Complete or Failed. There is one condition of "
        "each type at most.",
    )
    status: ConditionStatus = Field(description="Whether it holds: True, False or Unknown.")
    reason: str = Field(
        max_length=64,
        pattern="^[A-Z][A-Za-z0-9]*$",
        description="Why, in one CamelCase word for programs. It is part of the API and never renamed; each one is "
        "explained in the reference.",
    )
    message: str = Field(
        "",
        max_length=2000,
        description="Why, in words for people: what happened and, after a failure, what to do. Not for programs: it "
        "may be worded anew in any release.",
    )
    last_transition_time: datetime = Field(
        description="When the status last changed from one of its values to another."
    )
    observed_generation: int | None = Field(
        None,
        ge=0,
        description="The metadata.generation of the job that was observed. When it is behind, the condition does not "
        "know of the newest spec yet.",
    )


class QueueStatus(Schema):
    """Where the job stands in the queue, while it waits."""

    position: int | None = Field(
        None,
        ge=0,
        description="Jobs that run before it among the waiting; 0 is next. Exact for the first ten, within a quarter "
        "of the truth behind them.",
    )
    estimated_start_time: datetime | None = Field(
        None,
        description="When its turn comes, as far as past runs tell. Absent while jobs like those before it have not "
        "run yet.",
    )
    waiting_for: str | None = Field(
        None, max_length=253, description="Who holds the slot: Kind/name. Told to the first ten of the queue."
    )


Metric = Annotated[float, Field(description="The number; its name says what it counts, and durations are in seconds.")]


class ProgressStatus(Schema):
    """The newest progress of the present run."""

    stage: Stage = Field(
        description="What the run is doing. Stages come in the order in which they are listed; a job skips those "
        "that it does not need."
    )
    step: int = Field(0, ge=0, description="Steps done in this stage.")
    total: int = Field(0, ge=0, description="Steps of this stage; 0 when it has none to count.")
    progress_percentage: float = Field(
        0.0, ge=0.0, le=100.0, description="How far the whole run is, over all of its stages, in percent."
    )
    estimated_remaining_seconds: float | None = Field(
        None,
        ge=0.0,
        description="Seconds until the end of the run, judged by its own speed so far. Absent until that can be told.",
    )
    metrics: Annotated[dict[str, Metric], Field(max_length=32)] = Field(
        default_factory=dict,
        description="Numbers by name, such as loss and learningRate while it trains; when the job has succeeded, its "
        "totals, such as seconds and finalLoss.",
    )
    last_updated_time: datetime = Field(
        description="When the run said so. A run that has said nothing for long may hang: see activeDeadlineSeconds."
    )


class JobStatus(Schema):
    """How the job stands. Written by the operator, for everybody to read."""

    phase: Phase | None = Field(
        None,
        description="The job's state in one word. Queued: waits for its turn. Starting: has a pod that does not run "
        "yet. Running: works. Suspended: waits for spec.suspend to become false. Succeeded, Failed: "
        "ended, for good.",
    )
    queue: QueueStatus | None = Field(None, description="Place in the queue. Present while the job waits for the slot.")
    attempts: int = Field(
        0, ge=0, description="Runs begun so far. A run that was suspended counts here, but not among the failures."
    )
    failures: int = Field(
        0,
        ge=0,
        description="Runs that failed and count against spec.backoffLimit. Interruptions from outside do not count, "
        "nor does a failed training run that saved a later state than the runs before it.",
    )
    interruptions: int = Field(
        0,
        ge=0,
        description="Runs that something outside of Darkroom ended: an eviction, a preemption, a drained node, a node "
        "that was shut down. They do not count against spec.backoffLimit.",
    )
    saved_step: int | None = Field(
        None,
        ge=0,
        description="The newest training step whose state a failed or interrupted run saved. The next run goes on from "
        "there.",
    )
    next_attempt_time: datetime | None = Field(
        None, description="Not before then is the job tried again. Present after a failed run, until the next begins."
    )
    pod_name: str | None = Field(
        None,
        max_length=253,
        description="Pod of the present or last run, in the job's namespace: where kubectl logs finds what the run "
        "says.",
    )
    pod_uid: str | None = Field(
        None,
        max_length=64,
        description="Uid of that pod, by which the operator tells it from another of the same name.",
    )
    admission_order: int | None = Field(
        None,
        ge=0,
        description="The job's resource version when the operator first saw it: the order among jobs that were "
        "created within the same second.",
    )
    slot: int | None = Field(
        None,
        ge=0,
        description="Number of the slot that the job holds, from 0. Present from its admission until its run is over.",
    )
    progress: ProgressStatus | None = Field(
        None,
        description="The newest progress of the present run, or the totals of a job that has succeeded. Needs Redis "
        "while it runs.",
    )
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=64)] | None = Field(
        None,
        description="Files that the job made, in object storage. Present once it has succeeded. The gateway gives "
        "links to them.",
    )
    remarks: Annotated[tuple[Remark, ...], Field(max_length=MAX_REMARKS)] | None = Field(
        None,
        description="What the run cut, left out, converted or replaced: a prompt that was too long, photos of an "
        "unknown format, a sampler's setting. Absent when there was nothing of the kind. Each is an Event, too.",
    )
    start_time: datetime | None = Field(None, description="When the first run was admitted.")
    run_start_time: datetime | None = Field(
        None,
        description="When the container of the present run was first seen to run, by the API server's clock. "
        "spec.activeDeadlineSeconds counts from here.",
    )
    completion_time: datetime | None = Field(
        None, description="When the job finished, either way. spec.ttlSecondsAfterFinished counts from here."
    )
    observed_generation: int | None = Field(
        None,
        ge=0,
        description="The metadata.generation of the spec that this status is about. When it is behind, the operator "
        "has not seen the newest change yet.",
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="The job's state in detail, for kubectl wait and for programs. Admitted: it holds a slot. "
        "PodReady: its run works. Suspended: it was taken out of the queue. Complete: it succeeded. "
        "Failed: it failed for good.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
