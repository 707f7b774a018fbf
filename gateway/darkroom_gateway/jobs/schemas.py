"""What the gateway answers: the JSON of every success. Shapes only; jobs/serializers.py fills them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from darkroom_contract.names import Kind
from darkroom_contract.progress import Stage
from darkroom_contract.status import ConditionStatus, Phase


class TaskAccepted(BaseModel):
    """A submission was taken; ask `status_url` how it goes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": "train-k3x9q2m7ab",
                    "kind": "TrainJob",
                    "model_id": "my-dog",
                    "status_url": "/result?task_id=train-k3x9q2m7ab",
                    "job_url": "/jobs/train-k3x9q2m7ab?kind=TrainJob",
                    "events_url": "/jobs/train-k3x9q2m7ab/events?kind=TrainJob",
                }
            ]
        }
    )

    task_id: str = Field(description="Name of the job.", examples=["train-k3x9q2m7ab"])
    kind: Kind = Field(description="TrainJob or GenerateJob.")
    model_id: str | None = Field(None, description="The LoRA that is made or used.")
    status_url: str = Field(description="Status and results; also in the Location header.")
    job_url: str = Field(description="The job, in the shape that both kinds share.")
    events_url: str = Field(description="Live progress, as server-sent events.")


ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "A job was made, or the Idempotency-Key found the one that was made before.",
        "headers": {
            "Location": {
                "description": "Where to ask how it goes: the answer's `status_url`.",
                "required": True,
                "schema": {"type": "string"},
            }
        },
    }
}
"""The success of a submission, for its OpenAPI description."""


class Queue(BaseModel):
    """Where a waiting job stands."""

    position: int | None = Field(
        None, description="Jobs that run before it among the waiting; 0 is next. Exact for the first ten."
    )
    estimated_start: datetime | None = Field(None, description="When its turn comes, as far as past runs tell.")
    estimated_start_seconds: float | None = Field(None, description="From this answer until then.")
    waiting_for: str | None = Field(
        None, description="Who holds the slot: Kind/name. Told to the first ten of the queue."
    )


class ProgressAnswer(BaseModel):
    """The newest progress of the present run."""

    stage: Stage = Field(description="What the run is doing.")
    step: int = Field(description="Steps done in this stage.")
    total: int = Field(description="Steps of this stage; 0 when it has none to count.")
    progress_percentage: float = Field(description="Of the whole run.")
    estimated_remaining_seconds: float | None = Field(None, description="Until the end of the run.")
    metrics: dict[str, float] = Field(default_factory=dict, description="Such as loss and learning_rate.")
    updated: datetime = Field(description="When the run said so.")


class Failure(BaseModel):
    """Why a job failed."""

    reason: str = Field(description="Stable, for programs.", examples=["DatasetInvalid"])
    message: str = Field(description="For people: what happened and what to do.")


class ConditionAnswer(BaseModel):
    """One of the job's conditions, as kubectl shows it."""

    type: str
    status: ConditionStatus
    reason: str
    message: str
    last_transition_time: datetime


class RemarkAnswer(BaseModel):
    """Something that the run cut, left out, converted or replaced."""

    reason: str = Field(description="One word for programs, such as PromptTruncated.")
    message: str = Field(description="Whole sentences for people.")


class Stale(BaseModel):
    """The API server is not heard: the answer may be out of date."""

    since: datetime = Field(description="Until then everything was seen; nothing is known of what changed later.")
    detail: str = Field(description="For people: what is wrong.")


class JobAnswer(BaseModel):
    """A job of either kind."""

    task_id: str = Field(description="Name of the job.")
    kind: Kind = Field(description="TrainJob or GenerateJob.")
    phase: Phase = Field(description="Succeeded and Failed are final.")
    prompt: str
    model_id: str | None = Field(None, description="The LoRA that is made or used.")
    priority: int = Field(description="Higher runs first.")
    submitted_by: str | None = Field(None, description="The name of the API key that it was submitted with.")
    created: datetime
    started: datetime | None = Field(None, description="When its first run was admitted.")
    completed: datetime | None = Field(None, description="When it finished, either way.")
    deleting: bool = Field(description="It was deleted, and goes once its run has ended.")
    deletes_files: bool = Field(
        False, description="Its files go with it: when it is deleted, it stays until they are removed."
    )
    attempts: int = Field(description="Runs begun so far.")
    next_attempt: datetime | None = Field(None, description="Not before then is it tried again after a failure.")
    queue: Queue | None = Field(None, description="While it waits.")
    progress: ProgressAnswer | None = Field(None, description="Once it runs.")
    failure: Failure | None = Field(None, description="When it failed.")
    remarks: list[RemarkAnswer] = Field(
        default_factory=list, description="What the run cut, left out, converted or replaced."
    )
    conditions: list[ConditionAnswer] = Field(default_factory=list, description="For those who want it exactly.")
    status_url: str = Field(description="Status and results of this kind.")
    events_url: str = Field(description="Live progress, as server-sent events.")
    stale: Stale | None = Field(None, description="Only while the cluster is not heard: the answer may be out of date.")


class File(BaseModel):
    """A file that a job made, with a link that works for a while. Ask again for a fresh link."""

    name: str
    url: str = Field(description="Downloads the file, without credentials, until `expires`.")
    expires: datetime
    content_type: str
    bytes: int
    sha256: str


class TrainingAnswer(JobAnswer):
    """A training; `lora` and `files` once it has succeeded."""

    lora: File | None = Field(None, description="The trained weights, safetensors.")
    files: list[File] = Field(default_factory=list, description="All files of the run.")


class ImagesAnswer(JobAnswer):
    """A generation; `images` and `video` once it has succeeded."""

    images: list[File] = Field(default_factory=list, description="The pictures, in the order of their seeds.")
    video: File | None = Field(None, description="The clip, when allow_motion was set.")
    files: list[File] = Field(default_factory=list, description="All files of the run.")


class JobList(BaseModel):
    """Jobs of both kinds, newest first."""

    jobs: list[JobAnswer]
    total: int = Field(description="How many there are on all pages.")
    next_cursor: str | None = Field(None, description="Where the next page begins: its `cursor`. Absent on the last.")
    stale: Stale | None = Field(None, description="Only while the cluster is not heard: the list may be out of date.")


class ModelAnswer(BaseModel):
    """A LoRA that can be used now."""

    model_id: str
    prompt: str = Field(description="The prompt that it was trained with; use its rare word.")
    base_model: str
    base_model_commit: str | None = Field(None, description="The hub's commit of it, where it is known.")
    sha256: str = Field(description="Of its weights.")
    created: datetime


class ModelList(BaseModel):
    """Known LoRAs, by name."""

    models: list[ModelAnswer]


class Health(BaseModel):
    """The process is there."""

    status: str = Field("ok", description="ok")


class Readiness(BaseModel):
    """The gateway takes requests."""

    status: str = Field("ready", description="ready, or degraded: something that `tolerate` names is down")
    checks: dict[str, str] = Field(
        description="What was tried: ok, or what is wrong.", examples=[{"cluster": "ok", "storage": "ok"}]
    )
