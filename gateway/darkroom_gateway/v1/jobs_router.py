"""`/v1/jobs`: both kinds of job in one schema: list, read, change, cancel, retry, delete, and files."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from darkroom_contract.specs.job import JobSpec
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.contract_fields import parameter
from darkroom_gateway.jobs.cursors import read_cursor, write_cursor
from darkroom_gateway.jobs.dependencies import JobIdInPath, KindInQuery, SubmitterOfRequest
from darkroom_gateway.jobs.poll_route import json_response
from darkroom_gateway.services import ServicesOfApp
from darkroom_gateway.v1.bodies import body_error, parse_model, read_object
from darkroom_gateway.v1.job_responses import (
    ACCEPTED,
    PREFERENCE_APPLIED,
    accepted_response,
    job_response,
    stored_response,
    waited_response,
)
from darkroom_gateway.v1.openapi_bodies import PATCH_BODY
from darkroom_gateway.v1.parameters import ListParameters, Prefer
from darkroom_gateway.v1.poll_route import V1PollRoute
from darkroom_gateway.v1.schemas import V1Job, V1JobList
from darkroom_gateway.v1.serializers import PATH

router = APIRouter(tags=["jobs"], route_class=V1PollRoute)

_JOB: dict[int | str, dict[str, Any]] = {200: {"model": V1Job}, **responses(404, 409, 422, 503)}
_DELETING: dict[int | str, dict[str, Any]] = {
    202: {
        "model": V1Job,
        "description": "The job is deleted once its run has ended and, with `files`, its files are removed.",
    },
    **responses(404, 409, 422, 503),
}
_LISTED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Link": {
                "description": 'Address of the next page, as `<...>; rel="next"`. Absent on the last page.',
                "schema": {"type": "string"},
            }
        }
    },
    **responses(422, 503),
}


class JobPatch(BaseModel):
    """Fields of a spec that may be changed. The others stay as they are."""

    model_config = ConfigDict(extra="forbid")

    priority: int = parameter(JobSpec, "priority")
    suspend: bool = parameter(JobSpec, "suspend")


@router.get(PATH, response_model=V1JobList, responses=_LISTED)
async def list_v1_jobs(
    request: Request, services: ServicesOfApp, parameters: Annotated[ListParameters, Query()]
) -> Response:
    """Jobs of both kinds, newest first, page by page."""
    after = None if parameters.cursor is None else read_cursor(parameters.cursor)
    page = await services.jobs.page(parameters.filter, parameters.limit, after)
    response = json_response(await services.v1.answers.page(page, services.informer.lost))
    if page.next is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        link = urlencode([*query, ("cursor", write_cursor(page.next))])
        response.headers["Link"] = f'<{services.root_path}{PATH}?{link}>; rel="next"'
    return response


@router.get(
    PATH + "/{id}",
    response_model=V1Job,
    responses={200: {"headers": PREFERENCE_APPLIED}, **responses(404, 409, 422, 503)},
)
async def get_v1_job(
    job_id: JobIdInPath, request: Request, services: ServicesOfApp, kind: KindInQuery = None, prefer: Prefer = None
) -> Response:
    """One job. With `Prefer: wait=30` the response comes when the job has ended, at the latest after 30 s."""
    return await waited_response(services, await services.jobs.look_up(job_id, kind), request, prefer)


@router.patch(PATH + "/{id}", responses={**_JOB, **responses(413)}, openapi_extra=PATCH_BODY)
async def change_v1_job(
    job_id: JobIdInPath, request: Request, services: ServicesOfApp, kind: KindInQuery = None
) -> Response:
    """Change the priority of a job, or suspend or resume it. 409 for a job that has finished."""
    patch = parse_model(JobPatch, await read_object(request))
    fields = patch.model_dump(exclude_unset=True)
    if not fields:
        raise body_error("Set priority, suspend, or both.")
    return stored_response(services, await services.v1.actions.change(job_id, kind, fields))


@router.delete(PATH + "/{id}", status_code=204, response_class=Response, responses=_DELETING)
async def delete_v1_job(
    job_id: JobIdInPath,
    services: ServicesOfApp,
    kind: KindInQuery = None,
    files: Annotated[
        bool,
        Query(
            description="Also delete its files: photos that no other job uses, pictures, samples, checkpoints and logs."
        ),
    ] = False,
) -> Response:
    """Delete a job, finished or not, and stop its run. Its files stay in object storage, unless `files` is true."""
    delete = services.sweeper.delete_job if files else services.jobs.delete
    job = await delete(job_id, kind)
    return Response(status_code=204) if job is None else job_response(services, job, 202)


@router.post(PATH + "/{id}/suspend", responses=_JOB)
async def suspend_v1_job(job_id: JobIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> Response:
    """Take a job out of the queue. Its run stops: a training first saves its state, and later resumes from it."""
    return stored_response(services, await services.v1.actions.change(job_id, kind, {"suspend": True}))


@router.post(PATH + "/{id}/resume", responses=_JOB)
async def resume_v1_job(job_id: JobIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> Response:
    """Queue a suspended job again, at the place of its priority and age."""
    return stored_response(services, await services.v1.actions.change(job_id, kind, {"suspend": False}))


@router.post(PATH + "/{id}/cancel", status_code=202, response_model=V1Job, responses=responses(404, 409, 422, 503))
async def cancel_v1_job(job_id: JobIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> Response:
    """Delete a job that has not finished, and stop its run. Its files stay. 409 for a job that has finished."""
    return job_response(services, await services.v1.actions.cancel(job_id, kind), 202)


@router.post(PATH + "/{id}/retry", status_code=202, response_model=V1Job, responses=ACCEPTED)
async def retry_v1_job(
    job_id: JobIdInPath,
    request: Request,
    services: ServicesOfApp,
    submitter: SubmitterOfRequest,
    kind: KindInQuery = None,
    prefer: Prefer = None,
) -> Response:
    """Create a new job with the spec of a finished one. Its photos, pictures and models must still exist."""
    job = await services.v1.retries.retry(job_id, kind, request, submitter)
    return await accepted_response(services, job, request, prefer)
