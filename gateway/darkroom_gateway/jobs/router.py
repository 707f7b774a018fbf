"""`/jobs`: both kinds of job in one schema, their deletion, their logs and their files."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from darkroom_contract.names import KEY_NAME_PATTERN, Kind
from darkroom_contract.status import Phase
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.cursors import CURSOR_PATTERN, read_cursor, write_cursor
from darkroom_gateway.jobs.dependencies import KindInQuery, TaskIdInPath
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.poll_route import CachedPollRoute, json_response
from darkroom_gateway.jobs.response_cache import with_staleness
from darkroom_gateway.jobs.run_file_paths import FILE_NAME_PATTERN, STEP_PATTERN
from darkroom_gateway.jobs.schemas import JobAnswer, JobList, RunFileList
from darkroom_gateway.jobs.serializers import job_answer
from darkroom_gateway.jobs.service import kinds_of
from darkroom_gateway.services import Services, ServicesOfApp

router = APIRouter(tags=["jobs"], route_class=CachedPollRoute)

FileName = Annotated[
    str,
    Path(pattern=FILE_NAME_PATTERN, description="The name of a file.", examples=["train-k3x9q2m7ab-step-00100-0.png"]),
]
Step = Annotated[
    str, Path(pattern=STEP_PATTERN, description="A saved step, or best for the best one.", examples=["100", "best"])
]

REDIRECT: dict[int | str, dict[str, Any]] = {
    307: {
        "description": "Redirects to a presigned link, which downloads the file without credentials.",
        "headers": {
            "Location": {
                "description": "The presigned link. It is valid for a limited time: request this address again.",
                "required": True,
                "schema": {"type": "string"},
            }
        },
    },
    **responses(404, 409, 422, 503),
}


@router.get(
    "/jobs",
    response_model=JobList,
    responses={
        200: {
            "headers": {
                "Link": {
                    "description": 'Address of the next page, as `<...>; rel="next"`. Absent on the last page.',
                    "schema": {"type": "string"},
                }
            }
        },
        **responses(422, 503),
    },
    response_model_exclude_none=True,
)
async def list_jobs(
    request: Request,
    services: ServicesOfApp,
    kind: Annotated[
        Kind | None, case_insensitive(Kind), Query(description="Only TrainJobs or only GenerateJobs.")
    ] = None,
    phase: Annotated[Phase | None, case_insensitive(Phase), Query(description="Only jobs in this phase.")] = None,
    submitted_by: Annotated[
        str | None, Query(pattern=KEY_NAME_PATTERN, description="Only jobs submitted with the API key of this name.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of jobs on a page.")] = 100,
    cursor: Annotated[
        str | None,
        Query(pattern=CURSOR_PATTERN, description="next_cursor of the previous page, unchanged."),
    ] = None,
) -> Response:
    """Jobs of both kinds, newest first, page by page."""
    after = None if cursor is None else read_cursor(cursor)
    only = JobFilter(kinds_of(kind), tuple(Phase) if phase is None else (phase,), submitted_by)
    page = await services.jobs.page(only, limit, after)
    response = json_response(await services.response_cache.page(page, services.informer.lost))
    if page.next is not None:
        query = urlencode({**request.query_params, "cursor": write_cursor(page.next)})
        response.headers["Link"] = f'<{services.root_path}/jobs?{query}>; rel="next"'
    return response


@router.get(
    "/jobs/{task_id}",
    response_model=JobAnswer,
    responses=responses(404, 409, 422, 503),
    response_model_exclude_none=True,
)
async def get_job(task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> Response:
    """One job of either kind."""
    stored = await services.jobs.look_up(task_id, kind)
    return json_response(with_staleness(services.response_cache.job(stored), services.informer.lost))


@router.delete(
    "/jobs/{task_id}",
    status_code=204,
    response_class=Response,
    responses={
        202: {
            "model": JobAnswer,
            "description": "The job is deleted once its run has ended and, with `files`, its files are removed.",
        },
        **responses(404, 409, 422, 503),
    },
)
async def delete_job(
    task_id: TaskIdInPath,
    services: ServicesOfApp,
    kind: KindInQuery = None,
    files: Annotated[
        bool,
        Query(
            description="Also delete its files: photos that no other job uses, pictures, samples, checkpoints and logs."
        ),
    ] = False,
) -> Response:
    """Delete a job, and stop its run. Its files stay in object storage, unless `files` is true.

    With `files` the response is 204 when the files are removed, and 202 while their removal waits for the end of the
    run or for object storage; the job exists, with `deleting`, until the last file is removed. A model that a training
    has made stays, with its weights: delete it with `DELETE /models/{model_id}`."""
    if files:
        job = await services.sweeper.delete_job(task_id, kind)
    else:
        job = await services.jobs.delete(task_id, kind)
    if job is None:
        return Response(status_code=204)
    body = job_answer(job, services.root_path).model_dump_json(exclude_none=True)
    return Response(body, status_code=202, media_type="application/json")


@router.get("/jobs/{task_id}/log", response_class=PlainTextResponse, responses=responses(404, 409, 422, 503))
async def job_log(
    task_id: TaskIdInPath,
    services: ServicesOfApp,
    kind: KindInQuery = None,
    attempt: Annotated[
        int | None, Query(ge=1, le=1000, description="Number of the run, from 1. Default: the latest.")
    ] = None,
) -> PlainTextResponse:
    """The log of a run. It outlives the pod; while the run is active it is a few seconds behind."""
    return PlainTextResponse(await services.run_logs.read(task_id, kind, attempt))


# One route for each kind of path, because a path parameter of OpenAPI contains no slash.


@router.get("/jobs/{task_id}/files", responses=responses(404, 409, 422, 503))
async def list_job_files(task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> RunFileList:
    """The files of a job that can be read now: its artifacts; finished pictures of a generation that has not succeeded;
    and the sample images and saved steps of a training."""
    return await services.run_files.list(task_id, kind)


@router.get("/jobs/{task_id}/files/{name}", status_code=307, response_class=RedirectResponse, responses=REDIRECT)
async def job_file(
    task_id: TaskIdInPath, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """An artifact of a job that has succeeded, or a picture that a generation has finished before its end."""
    return await _redirect(services, task_id, kind, name)


@router.get(
    "/jobs/{task_id}/files/samples/{name}", status_code=307, response_class=RedirectResponse, responses=REDIRECT
)
async def job_sample(
    task_id: TaskIdInPath, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """A sample image of a training, also while it runs."""
    return await _redirect(services, task_id, kind, f"samples/{name}")


@router.get(
    "/jobs/{task_id}/files/steps/{step}/{name}", status_code=307, response_class=RedirectResponse, responses=REDIRECT
)
async def job_step_file(
    task_id: TaskIdInPath, step: Step, name: FileName, services: ServicesOfApp, kind: KindInQuery = None
) -> RedirectResponse:
    """The LoRA of a saved step, or of the best one, also while the training runs."""
    return await _redirect(services, task_id, kind, f"steps/{step}/{name}")


async def _redirect(services: Services, task_id: str, kind: KindInQuery, path: str) -> RedirectResponse:
    return RedirectResponse(await services.run_files.link(task_id, kind, path), status_code=307)
