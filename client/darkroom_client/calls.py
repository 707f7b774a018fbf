"""Requests to the gateway and how their answers are read. Pure.

Each endpoint is one function that returns a `Call`. The transports send it, retry it and read its answer.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from darkroom_client.errors import UnexpectedAnswerError
from darkroom_client.models import Job, JobPage, Kind, ModelDetail, ModelList, Status
from darkroom_client.problems import RawAnswer

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

MAX_PREFER_WAIT_SECONDS = 60


@dataclass(frozen=True)
class FormPart:
    """A part of a multipart form: a file, or text."""

    field: str
    path: Path | None = None
    text: str = ""
    name: str = ""
    """Of the file, as the gateway sees it."""
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. It may be sent several times if `is_repeatable`."""

    method: str
    path: str
    read: Callable[[RawAnswer], T]
    params: Mapping[str, str | list[str]] = field(default_factory=dict)
    json: Any = None
    form: tuple[FormPart, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True
    missing_is_done: bool = False
    """A repeated request that finds nothing has succeeded at an earlier attempt, whose answer was lost."""
    answer_seconds: float = 0.0
    """How much longer than usual the gateway may take to answer."""


def read_model(model: type[M]) -> Callable[[RawAnswer], M]:
    def read(answer: RawAnswer) -> M:
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"])
            detail = f"The answer is not a {model.__name__} of Darkroom: {where or 'its body'}: {fault['msg']}."
            raise UnexpectedAnswerError(detail) from error

    return read


def read_nothing(answer: RawAnswer) -> None:
    return None


def parameters(**values: Any) -> dict[str, str | list[str]]:
    """Query parameters, without those that are None. A list repeats its parameter."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str | list[str]:
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def new_key() -> str:
    """An `Idempotency-Key`: repeated requests with it make one job."""
    return f"client-{secrets.token_hex(16)}"


def job_path(job_id: str, action: str = "") -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}{action}"


def prefer_wait(seconds: float) -> dict[str, str]:
    whole = min(int(seconds), MAX_PREFER_WAIT_SECONDS)
    return {"Prefer": f"wait={whole}"} if whole > 0 else {}


class JobFilters(TypedDict, total=False):
    """Which jobs are listed."""

    kind: Kind | None
    status: Status | Sequence[Status] | None
    """One, or any of several."""
    model_id: str | None
    submitted_by: str | None
    query: str | None
    """Searched for in prompts."""


def list_jobs(filters: JobFilters, *, limit: int | None = None, cursor: str | None = None) -> Call[JobPage]:
    named = {"q" if name == "query" else name: value for name, value in filters.items()}
    return Call("GET", "/v1/jobs", read_model(JobPage), parameters(**named, limit=limit, cursor=cursor))


def get_job(job_id: str, *, kind: Kind | None = None, wait_seconds: float = 0.0) -> Call[Job]:
    headers = prefer_wait(wait_seconds)
    return Call(
        "GET", job_path(job_id), read_model(Job), parameters(kind=kind), headers=headers, answer_seconds=wait_seconds
    )


def change_job(job_id: str, *, kind: Kind | None, priority: int | None, suspend: bool | None) -> Call[Job]:
    changes = {"priority": priority, "suspend": suspend}
    body = {name: value for name, value in changes.items() if value is not None}
    return Call("PATCH", job_path(job_id), read_model(Job), parameters(kind=kind), json=body)


def act_on_job(job_id: str, action: str, *, kind: Kind | None) -> Call[Job]:
    """suspend or resume: repeating them changes nothing."""
    return Call("POST", job_path(job_id, f"/{action}"), read_model(Job), parameters(kind=kind))


def cancel_job(job_id: str, *, kind: Kind | None) -> Call[Job | None]:
    """None when the job is gone after an attempt whose answer was lost."""
    query = parameters(kind=kind)
    return Call("POST", job_path(job_id, "/cancel"), _read_job_or_nothing, query, missing_is_done=True)


def _read_job_or_nothing(answer: RawAnswer) -> Job | None:
    return None if answer.status == 204 else read_model(Job)(answer)


def retry_job(job_id: str, *, kind: Kind | None) -> Call[Job]:
    """Creates a new job."""
    headers = {"Idempotency-Key": new_key()}
    return Call("POST", job_path(job_id, "/retry"), read_model(Job), parameters(kind=kind), headers=headers)


def delete_job(job_id: str, *, kind: Kind | None, files: bool) -> Call[None]:
    query = parameters(kind=kind, files=files or None)
    return Call("DELETE", job_path(job_id), read_nothing, query, missing_is_done=True)


def job_events(job_id: str, *, kind: Kind | None, last_event_id: str | None) -> Call[None]:
    return Call("GET", job_path(job_id, "/events"), read_nothing, parameters(kind=kind), headers=resume(last_event_id))


def all_events(*, kind: Kind | None, model_id: str | None, last_event_id: str | None) -> Call[None]:
    query = parameters(kind=kind, model_id=model_id)
    return Call("GET", "/v1/events", read_nothing, query, headers=resume(last_event_id))


def job_logs(job_id: str, *, kind: Kind | None, attempt: int | None, follow: bool) -> Call[None]:
    query = parameters(kind=kind, attempt=attempt, follow=follow or None)
    return Call("GET", job_path(job_id, "/logs"), read_nothing, query)


def resume(last_event_id: str | None) -> dict[str, str]:
    return {} if last_event_id is None else {"Last-Event-ID": last_event_id}


def list_models(*, limit: int | None = None) -> Call[ModelList]:
    return Call("GET", "/v1/models", read_model(ModelList), parameters(limit=limit))


def get_model(model_id: str) -> Call[ModelDetail]:
    return Call("GET", f"/v1/models/{quote(model_id, safe='')}", read_model(ModelDetail))


def delete_model(model_id: str) -> Call[None]:
    return Call("DELETE", f"/v1/models/{quote(model_id, safe='')}", read_nothing, missing_is_done=True)
