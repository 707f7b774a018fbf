"""Response schemas shared by all endpoints that answer with jobs. jobs/serializers.py fills them.

Parts that the contract's status models define are subclasses of those models; see contract_fields.py.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from darkroom_contract.names import Kind
from darkroom_contract.progress import FinishedImage
from darkroom_contract.remarks import Remark
from darkroom_contract.status import Condition, Phase, ProgressStatus, RunStart
from darkroom_gateway.jobs.contract_fields import AS_ANSWER


class LoraAnswer(BaseModel):
    """A LoRA that a generation uses."""

    model_id: str | None = Field(None, description="The model, optionally with its saved step.")
    uri: str | None = Field(None, description="The file, for a LoRA that is no model of this namespace.")
    scale: float = Field(description="Its strength.")


class TaskAccepted(BaseModel):
    """The submission was accepted. Poll `status_url` for its result."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": "train-k3x9q2m7ab",
                    "kind": "TrainJob",
                    "model_id": "my-dog",
                    "loras": [],
                    "status_url": "/result?task_id=train-k3x9q2m7ab",
                    "job_url": "/jobs/train-k3x9q2m7ab?kind=TrainJob",
                    "events_url": "/jobs/train-k3x9q2m7ab/events?kind=TrainJob",
                }
            ]
        }
    )

    task_id: str = Field(description="Name of the job.", examples=["train-k3x9q2m7ab"])
    kind: Kind = Field(description="TrainJob or GenerateJob.")
    model_id: str | None = Field(None, description="The LoRA that the job trains or uses.")
    loras: list[LoraAnswer] = Field(
        default_factory=list, description="The LoRAs that the generation uses, with their scales."
    )
    status_url: str = Field(description="Address of the status and the results; also in the Location header.")
    job_url: str = Field(description="Address of the job in the schema that both kinds share.")
    events_url: str = Field(description="Address of the live progress, as server-sent events.")


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job was created, or an earlier request with the same Idempotency-Key created it.",
        "headers": {
            "Location": {
                "description": "Address of the status: `status_url` of the body.",
                "required": True,
                "schema": {"type": "string"},
            }
        },
    }
}
"""The OpenAPI response of an accepted submission."""


class Queue(BaseModel):
    """Position of a waiting job in the queue."""

    position: int | None = Field(
        None, description="Number of waiting jobs that run before it; 0 is next. Exact for the first ten."
    )
    estimated_start: datetime | None = Field(None, description="Estimated start, based on the durations of past runs.")
    estimated_start_seconds: float | None = Field(None, description="Seconds from this answer to `estimated_start`.")
    waiting_for: str | None = Field(
        None, description="The job that holds the slot, as Kind/name. Present for the first ten jobs of the queue."
    )


class ProgressAnswer(ProgressStatus):
    """The latest progress of the current run."""

    model_config = AS_ANSWER

    last_updated_time: datetime | None = Field(None, exclude=True)  # type: ignore[assignment]
    finished_images: tuple[FinishedImage, ...] | None = Field(None, exclude=True)
    updated: datetime = Field(description="When the run reported it.")


class ConditionAnswer(Condition):
    """A condition of the job, as kubectl shows it."""

    model_config = AS_ANSWER

    observed_generation: int | None = Field(None, exclude=True)


class RemarkAnswer(Remark):
    """Something that the run cut, left out, converted or replaced."""

    model_config = AS_ANSWER


class Failure(BaseModel):
    """Why a job failed."""

    reason: str = Field(description="A stable CamelCase word for programs.", examples=["DatasetInvalid"])
    message: str = Field(description="What happened, and what to do.")


class Stale(BaseModel):
    """The gateway lost its watch of the API server: the answer may be out of date."""

    since: datetime = Field(description="Time of the last confirmed state. Later changes are not included.")
    detail: str = Field(description="What is wrong.")


class JobAnswer(BaseModel):
    """A job of either kind."""

    task_id: str = Field(description="Name of the job.")
    kind: Kind = Field(description="TrainJob or GenerateJob.")
    phase: Phase = Field(description="Succeeded and Failed are final.")
    prompt: str
    model_id: str | None = Field(None, description="The LoRA that the job trains or uses.")
    loras: list[LoraAnswer] = Field(
        default_factory=list, description="The LoRAs that the generation uses, with their scales."
    )
    priority: int = Field(description="Jobs with a higher priority run first.")
    submitted_by: str | None = Field(None, description="Name of the API key that submitted it.")
    created: datetime
    started: datetime | None = Field(None, description="When its first run was admitted.")
    completed: datetime | None = Field(None, description="When it succeeded or failed.")
    deleting: bool = Field(description="The job is being deleted. It disappears once its run has ended.")
    deletes_files: bool = Field(
        False, description="Deleting the job also deletes its files. It disappears once they are removed."
    )
    attempts: int = Field(description="Number of runs started so far.")
    run_start: RunStart | None = Field(
        None,
        description="How the current or last run started. Cold: in a new pod, which loads libraries and base model. "
        "Warm: in the idle pod of an earlier run, which has both in memory. Present from the phase Starting on, "
        "while warm runners are turned on.",
    )
    next_attempt: datetime | None = Field(None, description="Earliest time of the next run after a failure.")
    queue: Queue | None = Field(None, description="Present while the job waits.")
    progress: ProgressAnswer | None = Field(None, description="Present once a run has reported progress.")
    failure: Failure | None = Field(None, description="Present when the job failed.")
    remarks: list[RemarkAnswer] = Field(
        default_factory=list, description="What the run cut, left out, converted or replaced."
    )
    conditions: list[ConditionAnswer] = Field(default_factory=list, description="The job's Kubernetes conditions.")
    status_url: str = Field(description="Address of the status and the results.")
    events_url: str = Field(description="Address of the live progress, as server-sent events.")
    stale: Stale | None = Field(
        None, description="Present only while the gateway has lost its watch of the API server."
    )


class File(BaseModel):
    """A file that a job produced, with a presigned link. Poll again for a fresh link."""

    name: str
    url: str = Field(description="Downloads the file without credentials until `expires`.")
    expires: datetime
    content_type: str
    bytes: int
    sha256: str


class RunFile(BaseModel):
    """A file of a job's runs."""

    path: str = Field(
        description="Its path below the run's folder: an artifact, samples/<file>, or steps/<step>/<file>."
    )
    url: str = Field(description="Its address at this gateway, which redirects to a fresh presigned link.")
    bytes: int


class RunFileList(BaseModel):
    """The files of a job that can be read now."""

    files: list[RunFile]


class JobList(BaseModel):
    """Jobs of both kinds, newest first."""

    jobs: list[JobAnswer]
    total: int = Field(description="Number of jobs on all pages.")
    next_cursor: str | None = Field(None, description="The `cursor` of the next page. Absent on the last page.")
    stale: Stale | None = Field(
        None, description="Present only while the gateway has lost its watch of the API server."
    )
