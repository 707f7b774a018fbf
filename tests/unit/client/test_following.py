"""Jobs are followed over lost connections, by the stream or by polls."""

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, events, job, lost_connection, problem

from darkroom_client import Darkroom, Disconnected, JobChanged, JobDeleted, ProgressReported, Reset, errors
from darkroom_client.job_events import Outage
from darkroom_client.retries import Retries

JOB = "/v1/jobs/train-a"
EVENTS = "/v1/jobs/train-a/events"


def progress(step: int) -> dict[str, object]:
    return {"stage": "Training", "step": step, "total": 4, "progress_percentage": 25.0 * step, "metrics": {"loss": 0.1}}


def short(found: list) -> list[str]:
    """The events in words."""
    return [
        f"job {event.job.status}"
        if isinstance(event, JobChanged)
        else f"step {event.progress.step}"
        if isinstance(event, ProgressReported)
        else type(event).__name__
        for event in found
    ]


def test_stream_that_breaks_is_resumed_after_the_last_event(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    done = job(status="Succeeded", artifacts=[{"name": "a", "role": "lora", "url": "/a"}])
    gateway.script("GET", JOB, document(job()), document(job()), document(done))
    gateway.script(
        "GET",
        EVENTS,
        events(("progress", progress(1), "5-0"), ("progress", progress(2), "6-0")),
        events(("progress", progress(3), "7-0"), ("end", {"reason": "Succeeded"}, "")),
    )

    found = list(darkroom.follow("train-a"))

    assert short(found) == ["job Running", "step 1", "step 2", "step 3", "job Succeeded"]
    assert [each.headers.get("last-event-id") for each in gateway.sent("GET", EVENTS)] == [None, "6-0"]
    assert found[-1].job.artifacts[0].name == "a"


def test_status_of_the_stream_of_one_job_changes_the_job(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    queued = job(status="Queued", queue={"position": 2})
    gateway.script("GET", JOB, document(queued), document(job(status="Failed", error={"reason": "R", "message": "m"})))
    old_form = {"task_id": "train-a", "kind": "TrainJob", "prompt": "p", "deleting": False, "attempts": 1}
    gateway.script(
        "GET",
        EVENTS,
        events(
            ("status", {**old_form, "phase": "Queued", "queue": {"position": 2}}, ""),
            ("status", {**old_form, "phase": "Queued", "queue": {"position": 1}}, ""),
            ("status", {**old_form, "phase": "Running", "progress": progress(1)}, ""),
            ("status", {**old_form, "phase": "Failed"}, ""),
            ("end", {"reason": "Failed"}, ""),
        ),
    )

    found = list(darkroom.follow("train-a"))

    assert short(found) == ["job Queued", "job Queued", "job Running", "job Failed"]
    assert [event.job.queue.position for event in found[:2]] == [2, 1]
    with pytest.raises(errors.JobFailedError, match="train-a failed: m"):
        found[-1].job.require_success()


@pytest.mark.parametrize(
    "no_stream",
    [problem(404, "NotFound"), content(b"<html></html>", Content_Type="text/html"), problem(503, "TooManyStreams")],
    ids=["no such path", "not a stream", "too many streams"],
)
def test_job_without_a_stream_is_polled(gateway: ScriptedGateway, darkroom: Darkroom, no_stream) -> None:
    gateway.script("GET", JOB, document(job(status="Queued")), document(job()), document(job(status="Succeeded")))
    gateway.script("GET", EVENTS, no_stream)
    assert short(list(darkroom.follow("train-a"))) == ["job Queued", "job Running", "job Succeeded"]


def test_outage_is_reported_once_and_survived(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gone = [lost_connection] * 3
    gateway.script("GET", JOB, document(job()), *gone, document(job(status="Succeeded")))
    gateway.script("GET", EVENTS, lost_connection)
    assert short(list(darkroom.follow("train-a"))) == ["job Running", "Disconnected", "job Succeeded"]


@pytest.mark.parametrize("is_streamed", [True, False])
def test_deleted_job_ends_with_its_deletion(gateway: ScriptedGateway, darkroom: Darkroom, is_streamed: bool) -> None:
    gateway.script("GET", JOB, document(job()), problem(404, "UnknownTask"))
    gateway.script("GET", EVENTS, events(("end", {"reason": "Deleted"}, "")) if is_streamed else lost_connection)
    assert list(darkroom.follow("train-a"))[-1] == JobDeleted("train-a", "TrainJob")


def test_unknown_job_is_an_error_at_once(darkroom: Darkroom) -> None:
    with pytest.raises(errors.NotFoundError):
        next(darkroom.follow("train-a"))


def test_outage_of_more_than_ten_minutes_is_final() -> None:
    now = [0.0]
    outage = Outage(Retries(), clock=lambda: now[0])
    failure = errors.GatewayUnreachableError("http://g", "reset", was_sent=True)
    assert [type(each) for each in outage.failed(failure)] == [Disconnected]
    now[0] = 599.0
    assert list(outage.failed(failure)) == []
    now[0] = 601.0
    with pytest.raises(errors.GatewayUnreachableError):
        list(outage.failed(failure))


def test_all_events_are_resumed_and_resets_are_reported(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    step = {"id": "train-a", "kind": "TrainJob", "progress": progress(1), "files": ["/f"], "preview": None}
    gateway.script(
        "GET",
        "/v1/events",
        events(("job", job(), "1-1"), ("progress", step, "1-2")),
        events(("reset", {"detail": "older"}, "2-1"), ("deleted", {"id": "train-a", "kind": "TrainJob"}, "2-2")),
    )
    stream = darkroom.events(model_id="my-dog")
    found = [next(stream) for _ in range(5)]
    stream.close()
    assert short(found) == ["job Running", "step 1", "Disconnected", "Reset", "JobDeleted"]
    assert isinstance(found[3], Reset)
    assert found[1].files == ("/f",)
    assert gateway.requests[1].headers["last-event-id"] == "1-2"
    assert gateway.requests[1].path == "/v1/events?model_id=my-dog"


def test_wait_asks_the_gateway_to_wait(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("GET", JOB, document(job()), document(job(status="Succeeded")))
    assert darkroom.wait("train-a").succeeded
    assert gateway.requests[0].headers["prefer"] == "wait=30"


def test_wait_ends_after_its_time(gateway: ScriptedGateway, darkroom: Darkroom) -> None:
    gateway.script("GET", JOB, document(job()))
    with pytest.raises(errors.WaitTimeoutError, match=r"train-a has not ended after .* seconds: it is Running"):
        darkroom.wait("train-a", timeout_seconds=0.01)
