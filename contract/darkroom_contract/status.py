"""What a job's status says. Written by the operator alone; read by the gateway and by people with kubectl."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from darkroom_contract.outcome import Artifact
from darkroom_contract.progress import Stage
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
    """As metav1.Condition: one observation, with a stable reason for programs and a message for people."""

    type: str = Field(max_length=64, description="What is observed.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=64, pattern="^[A-Z][A-Za-z0-9]*$", description="Stable, in CamelCase.")
    message: str = Field("", max_length=2000, description="For people.")
    last_transition_time: datetime = Field(description="When the status last changed.")
    observed_generation: int | None = Field(None, ge=0, description="The generation of the spec that was observed.")


class QueueStatus(Schema):
    """Where the job stands in the queue, while it waits."""

    position: int | None = Field(
        None,
        ge=0,
        description="Jobs that run before it among the waiting; 0 is next. Exact for the first ten.",
    )
    estimated_start_time: datetime | None = Field(None, description="When its turn comes, as far as past runs tell.")
    waiting_for: str | None = Field(
        None, max_length=253, description="Who holds the slot: Kind/name. Told to the first ten of the queue."
    )


class ProgressStatus(Schema):
    """The newest progress of the present run."""

    stage: Stage = Field(description="What the run is doing.")
    step: int = Field(0, ge=0, description="Steps done in this stage.")
    total: int = Field(0, ge=0, description="Steps of this stage.")
    progress_percentage: float = Field(0.0, ge=0.0, le=100.0, description="Of the whole run.")
    estimated_remaining_seconds: float | None = Field(None, ge=0.0, description="Until the end of the run.")
    metrics: Annotated[dict[str, float], Field(max_length=32)] = Field(
        default_factory=dict, description="Such as loss and learningRate."
    )
    last_updated_time: datetime = Field(description="When the run said so.")


class JobStatus(Schema):
    """The status of a TrainJob or a GenerateJob."""

    phase: Phase | None = Field(None, description="Queued, Starting, Running, Succeeded, Failed or Suspended.")
    queue: QueueStatus | None = Field(None, description="Place in the queue, while the job waits.")
    attempts: int = Field(0, ge=0, description="Runs begun so far.")
    failures: int = Field(0, ge=0, description="Runs that failed and were held against backoffLimit.")
    next_attempt_time: datetime | None = Field(None, description="Not before then is the job tried again.")
    pod_name: str | None = Field(None, max_length=253, description="Pod of the present or last run.")
    pod_uid: str | None = Field(None, max_length=64, description="Uid of that pod, once it was seen.")
    slot: int | None = Field(None, ge=0, description="Number of the slot that the job holds.")
    progress: ProgressStatus | None = Field(None, description="The newest progress.")
    artifacts: Annotated[tuple[Artifact, ...], Field(max_length=64)] | None = Field(
        None, description="Files that the job made, in object storage."
    )
    start_time: datetime | None = Field(None, description="When the first run was admitted.")
    completion_time: datetime | None = Field(None, description="When the job finished, either way.")
    observed_generation: int | None = Field(None, ge=0, description="The generation of the spec this status is about.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="Admitted, PodReady, Suspended, Complete, Failed.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
