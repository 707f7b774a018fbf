"""Renders server-sent events as bytes, once for all watchers. Pure.

The wire format is defined by the HTML standard, section "Server-sent events".
"""

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel, Field

from darkroom_contract.jobs import Job
from darkroom_contract.progress import Preview, ProgressEvent
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.jobs.run_file_paths import FileAddresses
from darkroom_gateway.jobs.schemas import ProgressAnswer
from darkroom_gateway.jobs.serializers import job_answer, progress_answer
from darkroom_gateway.redis.progress_streams import EntryId

RETRY_MILLISECONDS = 2000
"""How long a browser waits before it reconnects, with `Last-Event-ID`."""

PING = KEEPALIVE_COMMENT
"""A comment that keeps proxies from closing an idle connection."""


class ProgressUpdate(ProgressAnswer):
    """Progress of the run as it reported it, with the files that it announced."""

    files: list[str] | None = Field(
        None, description="Addresses of files that can be read from now on, such as pictures that are finished."
    )
    preview: Preview | None = Field(None, description="What an image looks like so far; see images.previewSteps.")


class SourceLost(BaseModel):
    """A source is unavailable. The stream continues, and retries it."""

    source: str = Field(description="cluster or progress")
    detail: str


class End(BaseModel):
    """The last event."""

    reason: str = Field(description="The final phase, Deleted, or GatewayStopping: then connect again.")


def status_frame(job: Job, root_path: str) -> bytes:
    return _frame("status", job_answer(job, root_path))


def progress_frame(entry_id: EntryId, event: ProgressEvent, addresses: FileAddresses) -> bytes:
    files = addresses.of_all(event.files) or None
    update = ProgressUpdate.model_construct(**dict(progress_answer(event)), files=files, preview=event.preview)
    return _frame("progress", update, str(entry_id))


def warning_frame(source: str, error: GatewayError) -> bytes:
    return _frame("warning", SourceLost(source=source, detail=str(error)))


def end_frame(reason: str) -> bytes:
    return _frame("end", End(reason=reason))


def _frame(name: str, data: BaseModel, entry_id: str | None = None) -> bytes:
    document = data.model_dump_json(exclude_none=True)
    return format_sse_event(data_str=document, event=name, id=entry_id, retry=RETRY_MILLISECONDS)
