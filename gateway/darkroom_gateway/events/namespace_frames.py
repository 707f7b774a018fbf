"""The events of `GET /v1/events`, as bytes. Pure; used by events/namespace_feed.py."""

from fastapi.sse import format_sse_event
from pydantic import BaseModel, Field

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.progress import Preview, ProgressEvent
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.events.frames import RETRY_MILLISECONDS, End, SourceLost
from darkroom_gateway.jobs.run_file_paths import FileAddresses
from darkroom_gateway.jobs.schemas import ProgressAnswer
from darkroom_gateway.jobs.serializers import progress_answer

EVENT_NAMES = ("job", "progress", "deleted", "warning", "reset", "end")


class JobProgress(BaseModel):
    """Progress of a run as it reported it."""

    id: str = Field(description="Name of the job.")
    kind: Kind
    progress: ProgressAnswer
    files: list[str] = Field(description="Addresses of files that can be read from now on, such as finished pictures.")
    preview: Preview | None = Field(description="What an image looks like so far.")


class JobDeleted(BaseModel):
    """The job no longer exists."""

    id: str
    kind: Kind


class Reset(BaseModel):
    """Events are missing: list the jobs again."""

    detail: str


def job_frame(event_id: str, job: BaseModel) -> bytes:
    return _frame("job", job, event_id)


def progress_frame(event_id: str, job: Job, event: ProgressEvent, root_path: str) -> bytes:
    files = FileAddresses(f"{root_path}/v1", job.name, job.kind).of_all(event.files)
    data = JobProgress(id=job.name, kind=job.kind, progress=progress_answer(event), files=files, preview=event.preview)
    return _frame("progress", data, event_id)


def deleted_frame(event_id: str, job: Job) -> bytes:
    return _frame("deleted", JobDeleted(id=job.name, kind=job.kind), event_id)


def warning_frame(event_id: str, source: str, error: GatewayError) -> bytes:
    return _frame("warning", SourceLost(source=source, detail=str(error)), event_id)


def reset_frame(event_id: str, detail: str) -> bytes:
    return _frame("reset", Reset(detail=detail), event_id)


def end_frame(event_id: str, reason: str) -> bytes:
    return _frame("end", End(reason=reason), event_id)


def position_frame(event_id: str) -> bytes:
    """No event: keeps proxies from closing an idle connection, and sets the id with which a client reconnects."""
    return f": ping\nid: {event_id}\nretry: {RETRY_MILLISECONDS}\n\n".encode()


def _frame(name: str, data: BaseModel, event_id: str) -> bytes:
    return format_sse_event(data_str=data.model_dump_json(), event=name, id=event_id, retry=RETRY_MILLISECONDS)
