"""Live progress: what a run tells while it works.

The runner writes events to a capped Redis stream, the gateway streams them to people, the operator copies the newest
into the job's status. Redis may vanish at any time: nobody may depend on an event having arrived.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from darkroom_contract.schema import Metrics, Schema

STREAM_MAX_LENGTH = 1000
STREAM_TTL_SECONDS = 24 * 3600
STREAM_FIELD = "event"


class Stage(StrEnum):
    """What a run is doing, in the order in which it does it."""

    DOWNLOADING = "Downloading"
    LOADING_MODEL = "LoadingModel"
    DRAWING_CLASS_IMAGES = "DrawingClassImages"
    ENCODING = "Encoding"
    TRAINING = "Training"
    DENOISING = "Denoising"
    ANIMATING = "Animating"
    UPLOADING = "Uploading"
    DONE = "Done"


class ProgressEvent(Schema):
    """One moment of a run."""

    attempt: int = Field(ge=1, description="Which run of the job, counted from 1.")
    stage: Stage = Field(description="What the run is doing.")
    step: int = Field(0, ge=0, description="Steps done in this stage.")
    total: int = Field(0, ge=0, description="Steps of this stage; 0 when it has none to count.")
    progress_percentage: float = Field(0.0, ge=0.0, le=100.0, description="Of the whole run.")
    estimated_remaining_seconds: float | None = Field(None, ge=0.0, description="Until the end of the run.")
    metrics: Metrics = Field(default_factory=dict, description="Such as loss and learningRate.")
    time: datetime = Field(description="When it was, in UTC.")


def stream_name(job_uid: str) -> str:
    """The Redis stream of a job; each entry has one field, `event`, a `ProgressEvent` as JSON."""
    return f"darkroom:progress:{job_uid}"
