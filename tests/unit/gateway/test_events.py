"""`GET /jobs/{task_id}/events`: status and live progress in one stream, which ends with the job."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.event_streams import StreamedJob, follow
from support.waiting import patience

from darkroom_contract.names import Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name
from darkroom_gateway.settings import Settings

wait_until = patience(30)


@pytest.fixture
def job(streamed_job: StreamedJob) -> StreamedJob:
    return streamed_job


def test_status_and_progress_come_as_they_happen(http: httpx.Client, job: StreamedJob) -> None:
    events = follow(http, job.name)
    first = next(events)
    assert (first.name, first.data["phase"]) == ("status", "Queued")

    job.set_status(phase="Queued", queue={"position": 1})
    moved = next(events)
    assert (moved.name, moved.data["queue"]["position"]) == ("status", 1)

    entry_id = job.report(step=3)
    progress = next(events)
    assert (progress.name, progress.data["step"], progress.id) == ("progress", 3, entry_id)

    job.set_status(phase="Succeeded")
    assert [each.name for each in events] == ["status", "end"]


def test_a_finished_job_tells_all_its_progress_and_ends(http: httpx.Client, job: StreamedJob) -> None:
    for step in range(450):
        job.report(step)
    job.set_status(phase="Failed")

    events = list(follow(http, job.name))

    assert [each.data["step"] for each in events if each.name == "progress"] == list(range(450))
    assert (events[-1].name, events[-1].data) == ("end", {"reason": "Failed"})


def test_a_browser_that_comes_back_goes_on_where_it_was(http: httpx.Client, job: StreamedJob) -> None:
    ids = [job.report(step) for step in range(3)]
    job.set_status(phase="Succeeded")

    events = list(follow(http, job.name, **{"Last-Event-ID": ids[1]}))

    assert [each.data["step"] for each in events if each.name == "progress"] == [2]


def test_an_entry_that_can_not_be_read_is_passed_over(http: httpx.Client, job: StreamedJob) -> None:
    job.redis.xadd(stream_name(job.uid), {STREAM_FIELD: "rubbish"})
    job.report(step=1)
    job.set_status(phase="Succeeded")

    assert [each.name for each in follow(http, job.name)] == ["status", "progress", "end"]


def test_the_stream_of_a_deleted_job_ends(http: httpx.Client, job: StreamedJob) -> None:
    events = follow(http, job.name)
    next(events)
    job.cluster.delete(Kind.GENERATE, job.name)

    assert [(each.name, each.data) for each in events] == [("end", {"reason": "Deleted"})]


def test_without_redis_the_status_tells_everything_that_matters(
    start_gateway: Any, environment: dict[str, str], nowhere: str, job: StreamedJob
) -> None:
    redis_of_nowhere = nowhere.replace("http", "redis")
    with start_gateway({**environment, "DARKROOM_REDIS_URL": redis_of_nowhere}) as gateway:
        events = follow(gateway.http, job.name)
        assert [next(events).name for _ in range(2)] == ["status", "warning"]
        job.set_status(phase="Running", queue=None)
        assert next(events).data["phase"] == "Running"
        job.set_status(phase="Succeeded")
        assert [each.name for each in events] == ["status", "end"]


def test_seconds_that_go_by_are_no_news(http: httpx.Client, job: StreamedJob) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    job.set_status(phase="Queued", queue={"position": 0, "estimatedStartTime": start.isoformat()})
    events = follow(http, job.name)
    assert 3500 < next(events).data["queue"]["estimated_start_seconds"] <= 3600
    two_looks_later = time.monotonic() + 2.5 * Settings.events_poll_seconds
    wait_until(lambda: time.monotonic() > two_looks_later, "the stream has looked twice")
    job.set_status(phase="Succeeded")

    assert [each.name for each in events] == ["status", "end"]


def test_a_gateway_that_stops_ends_its_streams(
    start_gateway: Any, environment: dict[str, str], job: StreamedJob
) -> None:
    with start_gateway(environment) as gateway:
        events = follow(gateway.http, job.name)
        next(events)
        gateway.process.terminate()

        assert [(each.name, each.data) for each in events] == [("end", {"reason": "GatewayStopping"})]
        assert gateway.process.wait(timeout=10) in (0, -15)
