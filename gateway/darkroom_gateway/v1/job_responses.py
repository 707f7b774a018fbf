"""Responses with a `V1Job`, for the routers of `/v1`."""

from dataclasses import replace
from typing import Any

from fastapi import Request, Response

from darkroom_contract.jobs import Job
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.poll_route import json_response
from darkroom_gateway.jobs.stored_job import StoredJob
from darkroom_gateway.photos.upload_validator import unless_disconnected
from darkroom_gateway.services import Services
from darkroom_gateway.v1.schemas import V1Job
from darkroom_gateway.v1.serializers import address_of, v1_job
from darkroom_gateway.v1.waiting import wait_seconds

PREFERENCE_APPLIED: dict[str, Any] = {
    "Preference-Applied": {
        "description": "The `wait` that was applied. Absent when the request has none.",
        "schema": {"type": "string"},
    }
}
_LOCATION: dict[str, Any] = {
    "Location": {"description": "Address of the job: `urls.get`.", "required": True, "schema": {"type": "string"}}
}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": V1Job,
        "description": "With `Prefer: wait`: the job has ended in time.",
        "headers": {**_LOCATION, **PREFERENCE_APPLIED},
    },
    202: {
        "description": "The job was created, or an earlier request with the same Idempotency-Key created it.",
        "headers": {**_LOCATION, **PREFERENCE_APPLIED},
    },
    **responses(404, 409, 413, 422, 503),
}
"""The OpenAPI responses of submissions."""


def stored_response(services: Services, stored: StoredJob, status: int = 200) -> Response:
    response = json_response(services.v1.answers.job(stored, services.informer.lost))
    response.status_code = status
    return response


def job_response(services: Services, job: Job, status: int) -> Response:
    """A job that may no longer be in the store."""
    body = v1_job(job, services.clients.storage, services.root_path).model_dump_json().encode()
    response = json_response(body)
    response.status_code = status
    return response


async def accepted_response(services: Services, job: Job, request: Request, prefer: str | None) -> Response:
    """The response to a submission: 200 if the job ends while the client prefers to wait, else 202."""
    seconds = wait_seconds(prefer)
    if seconds:
        waiting = services.v1.waits.until_ended(job.kind, job.name, job.uid, seconds)
        await unless_disconnected(request, waiting)
    stored = services.clients.store.get(job.kind, job.name)
    if stored is None or stored.uid != job.uid:
        response = job_response(services, replace(job, deleting=True), 202)
    else:
        response = stored_response(services, stored, 200 if seconds and stored.phase.is_terminal else 202)
    response.headers["Location"] = address_of(job.kind, job.name, services.root_path)
    return _applied(response, seconds)


async def waited_response(services: Services, stored: StoredJob, request: Request, prefer: str | None) -> Response:
    """The job when it has ended, or when the client prefers to wait no longer. Raises `UnknownTaskError` for a job that
    was deleted in the meantime."""
    seconds = wait_seconds(prefer)
    if seconds:
        waiting = services.v1.waits.until_ended(stored.kind, stored.name, stored.uid, seconds)
        await unless_disconnected(request, waiting)
        stored = await services.jobs.look_up(stored.name, stored.kind)
    return _applied(stored_response(services, stored), seconds)


def _applied(response: Response, seconds: int | None) -> Response:
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    return response
