"""The body and the id of a webhook. It signs links, and does no other I/O."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from darkroom_contract.jobs import Job
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.v1.schemas import V1Job
from darkroom_gateway.v1.serializers import v1_job


class WebhookMessage(BaseModel):
    """The body of a webhook."""

    type: str = Field(description="job.started, job.succeeded, job.failed or job.deleted.")
    timestamp: datetime = Field(description="When it happened.")
    data: V1Job = Field(description="The job at the time of sending.")


@dataclass(frozen=True)
class Message:
    """One event of one job."""

    id: str
    """The same at every attempt, so that a receiver can recognise a repetition."""
    body: bytes


def message_id(uid: str, event: WebhookEvent) -> str:
    """Each event happens once in the life of a job. Without dots, which separate the signed parts."""
    return f"msg_{uid.replace('-', '')}_{event.value.lower()}"


def message_of(job: Job, event: WebhookEvent, storage: ObjectStorage, root_path: str) -> Message:
    """Raises `StorageUnavailableError` when links to the files can't be signed."""
    body = WebhookMessage(type=event.message_type, timestamp=_moment(job, event), data=v1_job(job, storage, root_path))
    return Message(message_id(job.uid, event), body.model_dump_json().encode())


def _moment(job: Job, event: WebhookEvent) -> datetime:
    status = job.status
    moments = {
        WebhookEvent.STARTED: status.start_time,
        WebhookEvent.SUCCEEDED: status.completion_time,
        WebhookEvent.FAILED: status.completion_time,
    }
    return moments.get(event) or datetime.now(UTC).replace(microsecond=0)
