"""What the gateway answers, as pydantic models: jobs and models (LoRAs).

The names are those of the API's JSON. Unknown fields of later gateways are kept, as attributes and in `model_dump()`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from darkroom_client.errors import JobFailedError


class Kind(StrEnum):
    """What a job does: learn a model, or make images and clips."""

    TRAIN = "TrainJob"
    GENERATE = "GenerateJob"


class Status(StrEnum):
    """Where a job is. Succeeded and Failed are final."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"

    @property
    def is_final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED)


class Answer(BaseModel):
    """Immutable; keeps fields that this release does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Queue(Answer):
    """The place of a waiting job in the queue."""

    position: int | None = None
    """Jobs before this one."""
    estimated_start: datetime | None = None
    estimated_start_seconds: float | None = None
    waiting_for: str | None = None
    """Such as the training of the model that a generation needs."""


class Progress(Answer):
    """The progress of a run."""

    attempt: int | None = None
    stage: str | None = None
    step: int = 0
    total: int = 0
    """Steps of this stage; 0 when it is not counted in steps."""
    progress_percentage: float = 0.0
    """Of the whole run."""
    estimated_remaining_seconds: float | None = None
    metrics: dict[str, float] = {}
    """Such as loss and learning_rate."""
    updated: datetime | None = None


class JobError(Answer):
    """Why a job failed."""

    reason: str
    """A stable CamelCase word, for programs."""
    message: str
    advice: str | None = None


class Remark(Answer):
    """Something that the run cut, left out, converted or replaced."""

    reason: str
    message: str


class Artifact(Answer):
    """A file of a job."""

    name: str
    role: str
    """image, video, lora, sample or another word."""
    url: str
    """A link that needs no key until `expires`, or an address of the gateway."""
    content_type: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    seed: int | None = None
    step: int | None = None
    expires: datetime | None = None


class JobUrls(Answer):
    """Addresses of the gateway for this job."""

    get: str | None = None
    cancel: str | None = None
    suspend: str | None = None
    resume: str | None = None
    retry: str | None = None
    events: str | None = None
    logs: str | None = None
    files: str | None = None


class Job(Answer):
    """A training or a generation."""

    id: str
    kind: Kind
    status: Status
    model_id: str | None = None
    prompt: str = ""
    priority: int = 0
    submitted_by: str | None = None
    spec: dict[str, Any] = {}
    """As in the resource: camelCase."""
    queue: Queue | None = None
    progress: Progress | None = None
    error: JobError | None = None
    remarks: tuple[Remark, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    """Its files. While it runs: the pictures that are finished."""
    created: datetime | None = None
    started: datetime | None = None
    completed: datetime | None = None
    attempts: int = 0
    next_attempt: datetime | None = None
    deleting: bool = False
    urls: JobUrls = JobUrls()

    @property
    def is_finished(self) -> bool:
        return self.status.is_final

    @property
    def succeeded(self) -> bool:
        return self.status is Status.SUCCEEDED

    def has_ended_run(self, attempt: int) -> bool:
        """Whether the run of this number is over, or will never begin. A run begins when the job is Starting."""
        is_stopped = self.status is Status.QUEUED and self.attempts == attempt
        return self.is_finished or self.status is Status.SUSPENDED or is_stopped or self.attempts > attempt

    def artifact(self, name: str) -> Artifact | None:
        return next((each for each in self.artifacts if each.name == name), None)

    def require_success(self) -> "Job":
        """This job. Raises `JobFailedError` if it failed."""
        if self.status is Status.FAILED:
            raise JobFailedError(self)
        return self


class JobPage(Answer):
    """A page of jobs."""

    jobs: tuple[Job, ...]
    total: int | None = None
    """Jobs that pass the filters, on all pages."""
    next_cursor: str | None = None


class Model(Answer):
    """A LoRA that can be used now, trained or imported."""

    model_id: str
    prompt: str = ""
    """The prompt that it was trained with. Use its rare word."""
    base_model: str | None = None
    sha256: str | None = None
    source: str | None = None
    """The file or URI that it was imported from. None for a training."""
    created: datetime | None = None


class ModelFile(Answer):
    """A LoRA file, with a link that needs no key until `expires`."""

    name: str
    form: str
    """Diffusers, Kohya (for ComfyUI, A1111, Forge and InvokeAI), or Imported."""
    url: str
    expires: datetime | None = None
    bytes: int | None = None
    sha256: str | None = None


class ModelStep(Answer):
    """The LoRA of a training step."""

    reference: str
    """Its name for generations, such as my-dog@200."""
    step: int | None = None
    held_out_loss: float | None = None
    files: tuple[ModelFile, ...] = ()


class ModelDetail(Model):
    """One model, with its files and its saved steps."""

    in_training: bool = False
    step: int | None = None
    held_out_loss: float | None = None
    files: tuple[ModelFile, ...] = ()
    steps: tuple[ModelStep, ...] = ()


class ModelList(Answer):
    models: tuple[Model, ...]
