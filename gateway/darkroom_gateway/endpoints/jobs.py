"""`/jobs`: both kinds in one shape, deletion, and live events."""

from collections.abc import AsyncIterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import PlainTextResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from darkroom_contract.jobs import Job
from darkroom_contract.names import KEY_NAME_PATTERN, Kind
from darkroom_contract.status import Phase
from darkroom_gateway.answers import JobAnswer, JobList
from darkroom_gateway.endpoints.inputs import KindInQuery, TaskIdInPath
from darkroom_gateway.problems import responses
from darkroom_gateway.progress import BEGINNING
from darkroom_gateway.services import ServicesOfApp
from darkroom_gateway.views import job_answer

router = APIRouter(tags=["jobs"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=r"^[0-9]{1,20}-[0-9]{1,20}$",
        description="Sent by browsers that come back: progress goes on behind that event.",
    ),
]


@router.get("/jobs", responses=responses(422, 503), response_model_exclude_none=True)
def list_jobs(
    services: ServicesOfApp,
    kind: Annotated[Kind | None, Query(description="Only TrainJobs or only GenerateJobs.")] = None,
    phase: Annotated[Phase | None, Query(description="Only jobs in this phase.")] = None,
    submitted_by: Annotated[
        str | None, Query(pattern=KEY_NAME_PATTERN, description="Only jobs submitted with the API key of this name.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100,
) -> JobList:
    """Jobs of both kinds, newest first."""
    found = services.jobs.list(kind, phase, submitted_by)
    return JobList(jobs=[job_answer(job, services.root_path) for job in found[:limit]], total=len(found))


@router.get("/jobs/{task_id}", responses=responses(404, 409, 422, 503), response_model_exclude_none=True)
def get_job(task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> JobAnswer:
    """One job of either kind."""
    return job_answer(services.jobs.find(task_id, kind), services.root_path)


@router.delete(
    "/jobs/{task_id}",
    status_code=204,
    response_class=Response,
    responses={
        202: {
            "model": JobAnswer,
            "description": "It goes once its run has ended, and its files, if asked for, are removed.",
        },
        **responses(404, 409, 422, 503),
    },
)
async def delete_job(
    task_id: TaskIdInPath,
    services: ServicesOfApp,
    kind: KindInQuery = None,
    files: Annotated[
        bool, Query(description="Its files too: photos that no other job uses, pictures, states and logs.")
    ] = False,
) -> Response:
    """Delete a job, and stop it when it runs. Its files stay in object storage, unless `files` is true.

    With `files` the answer is 204 when the files are gone, and 202 while they wait for the end of the run or for object
    storage; the job is there, with `deleting`, until the last file is removed. A model that a training has made stays,
    with its weights: `DELETE /models/{model_id}` removes it.
    """
    if files:
        job = await services.sweeper.delete_job(task_id, kind)
    else:
        job = await to_thread.run_sync(services.jobs.delete, task_id, kind)
    if job is None:
        return Response(status_code=204)
    body = job_answer(job, services.root_path).model_dump_json(exclude_none=True)
    return Response(body, status_code=202, media_type="application/json")


@router.get("/jobs/{task_id}/log", response_class=PlainTextResponse, responses=responses(404, 409, 422, 503))
def job_log(
    task_id: TaskIdInPath,
    services: ServicesOfApp,
    kind: KindInQuery = None,
    attempt: Annotated[
        int | None, Query(ge=1, le=1000, description="Which run, from 1; the newest when unset.")
    ] = None,
) -> PlainTextResponse:
    """What a run said. It outlives the pod; while the run works it is a few seconds late."""
    return PlainTextResponse(services.jobs.log(task_id, kind, attempt))


def _found_job(task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None) -> Job:
    """Looked up before the stream begins, so that an unknown task is a 404 and not a broken stream."""
    return services.jobs.find(task_id, kind)


@router.get("/jobs/{task_id}/events", response_class=EventSourceResponse, responses=responses(404, 409, 422, 503))
async def job_events(
    job: Annotated[Job, Depends(_found_job)], services: ServicesOfApp, last_event_id: LastEventId = None
) -> AsyncIterator[ServerSentEvent]:
    """Live: `status` when the job changes, `progress` as it works, `warning`, and `end` as the last event."""
    async for event in services.events.stream(job, last_event_id or BEGINNING):
        yield event
