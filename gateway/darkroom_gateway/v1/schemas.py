"""Response schemas of `/v1`. v1/serializers.py fills them.

`V1Job` is the same in every answer, list, event and webhook. All keys are always present: null, or an empty list,
without a value.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.schemas import ProgressAnswer, Queue, RemarkAnswer, RunFile, Stale


class ArtifactRole(StrEnum):
    """What a file is."""

    IMAGE = "image"
    """A generated picture."""
    GRID = "grid"
    """All pictures of a generation in one."""
    VIDEO = "video"
    LORA = "lora"
    SAMPLE = "sample"
    """A picture that a training drew with its LoRA."""
    SAMPLE_SHEET = "sample_sheet"
    """All samples of a training on one sheet."""
    OTHER = "other"


class V1Artifact(BaseModel):
    """A file that a job made, with a presigned link. Read the job again for a fresh link."""

    name: str
    role: ArtifactRole = Field(description="image, grid, video, lora, sample, sample_sheet or other.")
    content_type: str
    bytes: int
    sha256: str = Field(description="SHA-256 of the content, in hexadecimal.")
    seed: int | None = Field(description="The seed of a generated picture.")
    step: int | None = Field(description="The training step of a saved LoRA or sample; null for the final ones.")
    url: str = Field(description="Downloads the file without credentials until `expires`.")
    expires: datetime
    uri: str = Field(
        description="Its address in object storage. Once the job has succeeded, a later one takes a picture by it, "
        "such as in startImage.uri.",
        examples=["s3://darkroom/runs/0b54e4f6-0000-4000-8000-000000000000/generate-x7c2m4kq9a-seed-7.png"],
    )


class V1Error(BaseModel):
    """Why a job failed."""

    reason: str = Field(description="A stable CamelCase word for programs.", examples=["DatasetInvalid"])
    message: str = Field(description="What happened.")
    advice: str | None = Field(description="What to do about it.")


class V1Urls(BaseModel):
    """Addresses of a job at this gateway: paths, to be resolved against the address of the gateway."""

    get: str
    cancel: str
    suspend: str
    resume: str
    retry: str
    events: str
    logs: str
    files: str


class V1Job(BaseModel):
    """A job of either kind."""

    id: str = Field(description="Name of the job.", examples=["train-k3x9q2m7ab"])
    kind: Kind = Field(description="TrainJob or GenerateJob.")
    status: Phase = Field(description="Succeeded and Failed are final.")
    model_id: str | None = Field(description="The LoRA that the job trains or uses; null for none, and for several.")
    prompt: str
    priority: int = Field(description="Jobs with a higher priority run first.")
    submitted_by: str | None = Field(description="Name of the API key that submitted it.")
    spec: dict[str, Any] = Field(description="The spec of the resource, in camelCase, as a submission sends it.")
    queue: Queue | None = Field(description="Place in the queue; null unless the job waits.")
    progress: ProgressAnswer | None = Field(description="The latest progress; null until a run has reported some.")
    error: V1Error | None = Field(description="Why the job failed; null otherwise.")
    remarks: list[RemarkAnswer] = Field(description="What the run cut, left out, converted or replaced.")
    artifacts: list[V1Artifact] = Field(
        description="The files that the job made; until it has succeeded, the pictures that its run has finished."
    )
    created: datetime
    started: datetime | None = Field(description="When its first run was admitted.")
    completed: datetime | None = Field(description="When it succeeded or failed.")
    attempts: int = Field(description="Number of runs started so far.")
    next_attempt: datetime | None = Field(description="Earliest time of the next run after a failure.")
    deleting: bool = Field(description="The job is being deleted. It disappears once its run has ended.")
    urls: V1Urls
    stale: Stale | None = Field(
        default=None, description="Not null while the gateway has lost its watch of the API server."
    )


class V1JobList(BaseModel):
    """Jobs of both kinds, newest first."""

    jobs: list[V1Job]
    total: int | None = Field(
        description="Number of matching jobs on all pages; null with `q`, for which nothing is counted."
    )
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last page.")
    stale: Stale | None = Field(
        default=None, description="Not null while the gateway has lost its watch of the API server."
    )


class V1RunFile(RunFile):
    """A file of a job's runs. A page can show it by its link, even if the gateway requires an API key."""

    link: str = Field(description="Downloads the file without credentials until `expires`.")
    expires: datetime


class V1RunFileList(BaseModel):
    """The files of a job that can be read now."""

    files: list[V1RunFile]
