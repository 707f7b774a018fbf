"""Event streams of one job and of all jobs, and the log of a run as it grows."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import PlainTextResponse

from darkroom_contract.names import MODEL_ID_PATTERN, Kind
from darkroom_gateway.events.namespace_frames import EVENT_NAMES
from darkroom_gateway.events.ring import Selection
from darkroom_gateway.events.stream import EventStream, description
from darkroom_gateway.http.case_insensitive import case_insensitive
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import JobIdInPath, KindInQuery, TaskIdInPath
from darkroom_gateway.redis.progress_streams import LAST_EVENT_ID_PATTERN, EntryId
from darkroom_gateway.services import Services, ServicesOfApp

router = APIRouter(tags=["jobs"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=LAST_EVENT_ID_PATTERN,
        description="Sent by browsers that reconnect. The stream continues after that event.",
    ),
]
_JOB_STREAM = {200: description("status", "progress", "warning", "end"), **responses(404, 409, 422, 503)}


@router.get("/jobs/{task_id}/events", status_code=200, response_class=EventStream, responses=_JOB_STREAM)
async def job_events(
    task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None, last_event_id: LastEventId = None
) -> EventStream:
    """Live events: `status` when the job changes, `progress` of its run, `warning`, and finally `end`."""
    return await _job_stream(services, task_id, kind, last_event_id)


@router.get("/v1/jobs/{id}/events", status_code=200, response_class=EventStream, responses=_JOB_STREAM)
async def v1_job_events(
    job_id: JobIdInPath, services: ServicesOfApp, kind: KindInQuery = None, last_event_id: LastEventId = None
) -> EventStream:
    """Live events of one job: `status` when it changes, `progress` of its run, `warning`, and finally `end`."""
    return await _job_stream(services, job_id, kind, last_event_id)


@router.get(
    "/v1/events",
    status_code=200,
    response_class=EventStream,
    responses={200: description(*EVENT_NAMES), **responses(422, 503)},
)
async def all_events(
    services: ServicesOfApp,
    kind: Annotated[
        Kind | None, case_insensitive(Kind), Query(description="Only TrainJobs or only GenerateJobs.")
    ] = None,
    model_id: Annotated[
        str | None,
        Query(pattern=MODEL_ID_PATTERN, max_length=63, description="Only jobs that train, use or continue this model."),
    ] = None,
    last_event_id: LastEventId = None,
) -> EventStream:
    """Live events of all jobs, from now on or after `Last-Event-ID`: `job` when a job is new or has changed, `progress`
    of runs, `deleted`, `warning`, and `reset` when events are missing: then list the jobs again."""
    await services.informer.ready()
    after = None if last_event_id is None else EntryId.read(last_event_id)
    return EventStream(await services.all_events.join(Selection(kind, model_id), after))


@router.get("/v1/jobs/{id}/logs", response_class=PlainTextResponse, responses=responses(404, 409, 422, 503))
async def v1_job_logs(
    job_id: JobIdInPath,
    services: ServicesOfApp,
    kind: KindInQuery = None,
    attempt: Annotated[
        int | None, Query(ge=1, le=1000, description="Number of the run, from 1. Default: the latest.")
    ] = None,
    follow: Annotated[
        bool,
        Query(
            description="Continue with what the run writes, until it ends. Before the first run, wait for it. The text "
            "is a few seconds behind."
        ),
    ] = False,
) -> Response:
    """The log of a run as plain text. It outlives the pod; while the run is active it is a few seconds behind."""
    if follow:
        stream = services.log_follower.follow(await services.jobs.get(job_id, kind), attempt)
        if stream is not None:
            return stream
    return PlainTextResponse(await services.run_logs.read(job_id, kind, attempt))


async def _job_stream(services: Services, name: str, kind: Kind | None, last_event_id: str | None) -> EventStream:
    # Before the response starts, so that an unknown job is a 404 and not a broken stream.
    job = await services.jobs.get(name, kind)
    after = None if last_event_id is None else EntryId.read(last_event_id)
    return EventStream(services.events.join(job, after))
