"""`GET /jobs/{task_id}/events`: live events of a job, as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header

from darkroom_gateway.events.progress_streams import LAST_EVENT_ID_PATTERN, EntryId
from darkroom_gateway.events.stream import DESCRIPTION, EventStream
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import KindInQuery, TaskIdInPath
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["jobs"])

LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=LAST_EVENT_ID_PATTERN,
        description="Sent by browsers that reconnect. Progress continues after that event.",
    ),
]


@router.get(
    "/jobs/{task_id}/events",
    status_code=200,
    response_class=EventStream,
    responses={200: DESCRIPTION, **responses(404, 409, 422, 503)},
)
async def job_events(
    task_id: TaskIdInPath, services: ServicesOfApp, kind: KindInQuery = None, last_event_id: LastEventId = None
) -> EventStream:
    """Live events: `status` when the job changes, `progress` of its run, `warning`, and finally `end`."""
    # Before the response starts, so that an unknown task is a 404 and not a broken stream.
    job = await services.jobs.get(task_id, kind)
    after = None if last_event_id is None else EntryId.read(last_event_id)
    return EventStream(services.events, services.events.join(job, after))
