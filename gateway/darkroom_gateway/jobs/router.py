"""`/jobs`: both kinds in one shape, deletion, and live events."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse

from darkroom_contract.names import KEY_NAME_PATTERN, Kind
from darkroom_contract.status import Phase
from darkroom_gateway.backends.deadlines import CLUSTER_WRITE_SECONDS
from darkroom_gateway.events.progress_streams import LAST_EVENT_ID_PATTERN, EntryId
from darkroom_gateway.events.stream import DESCRIPTION as EVENT_STREAM_DESCRIPTION
from darkroom_gateway.events.stream import EventStream
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.cursors import CURSOR_PATTERN, read_cursor, write_cursor
from darkroom_gateway.jobs.dependencies import KindInQuery, TaskIdInPath
from darkroom_gateway.jobs.poll_route import CachedPollRoute, json_response
from darkroom_gateway.jobs.response_cache import with_staleness
from darkroom_gateway.jobs.schemas import JobAnswer, JobList
from darkroom_gateway.jobs.serializers import job_answer
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["jobs"], route_class=CachedPollRoute)

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=LAST_EVENT_ID_PATTERN,
        description="Sent by browsers that come back: progress goes on behind that event.",
    ),
]


@router.get(
    "/jobs",
    response_model=JobList,
    responses={
        200: {
            "headers": {
                "Link": {
                    "description": 'The address of the next page, as `<...>; rel="next"`; absent on the last.',
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
    limit: Annotated[int, Query(ge=1, le=1000, description="Jobs on a page, at most.")] = 100,
    cursor: Annotated[
        str | None,
        Query(pattern=CURSOR_PATTERN, description="Where to go on: next_cursor of the page before, as it is."),
    ] = None,
) -> Response:
    """Jobs of both kinds, newest first, page by page."""
    behind = None if cursor is None else read_cursor(cursor)
    page = await services.jobs.page(kind, phase, submitted_by, limit, behind)
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
        job = await services.backends.cluster.call(CLUSTER_WRITE_SECONDS, services.jobs.delete, task_id, kind)
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
        int | None, Query(ge=1, le=1000, description="Which run, from 1; the newest when unset.")
    ] = None,
) -> PlainTextResponse:
    """What a run said. It outlives the pod; while the run works it is a few seconds late."""
    return PlainTextResponse(await services.run_logs.read(task_id, kind, attempt))


@router.get(
    "/jobs/{task_id}/events",
    status_code=200,
    response_class=EventStream,
    responses={200: EVENT_STREAM_DESCRIPTION, **responses(404, 409, 422, 503)},
)
async def job_events(
    task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None, last_event_id: LastEventId = None
) -> EventStream:
    """Live: `status` when the job changes, `progress` as it works, `warning`, and `end` as the last event."""
    # Before the stream begins, so that an unknown task is a 404 and not a broken stream.
    job = await services.jobs.get(task_id, kind)
    after = None if last_event_id is None else EntryId.read(last_event_id)
    return EventStream(services.events, services.events.join(job, after))
