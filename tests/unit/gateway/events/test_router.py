"""`GET /jobs/{task_id}/events`: a stream of status and live progress that ends with the job."""

import asyncio
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.event_streams import StreamedJob, follow
from support.waiting import waiter

from darkroom_contract.names import Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name
from darkroom_gateway.settings import Settings

wait_until = waiter(30)


@pytest.fixture
def job(streamed_job: StreamedJob) -> StreamedJob:
    return streamed_job


def test_status_and_progress_are_sent_as_they_happen(http: httpx.Client, job: StreamedJob) -> None:
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


def test_finished_job_sends_all_its_progress_and_ends(http: httpx.Client, job: StreamedJob) -> None:
    for step in range(450):
        job.report(step)
    job.set_status(phase="Failed")

    events = list(follow(http, job.name))

    assert [each.data["step"] for each in events if each.name == "progress"] == list(range(450))
    assert (events[-1].name, events[-1].data) == ("end", {"reason": "Failed"})


def test_files_of_an_event_are_addresses_of_the_gateway(
    start_gateway: Any, environment: dict[str, str], job: StreamedJob
) -> None:
    job.report(1, "samples/a-step-00100-0.png", "steps/best/a.safetensors", "../../other/a.png", "logs/1.txt")
    job.report(2)
    job.set_status(phase="Succeeded")

    with start_gateway({**environment, "DARKROOM_GATEWAY_ROOT_PATH": "/darkroom"}) as gateway:
        events = [each for each in follow(gateway.http, job.name) if each.name == "progress"]

    files = f"/darkroom/jobs/{job.name}/files"
    assert events[0].data["files"] == [
        f"{files}/samples/a-step-00100-0.png?kind=GenerateJob",
        f"{files}/steps/best/a.safetensors?kind=GenerateJob",
    ]
    assert "files" not in events[1].data


def test_reconnecting_browser_continues_where_it_was(http: httpx.Client, job: StreamedJob) -> None:
    ids = [job.report(step) for step in range(3)]
    job.set_status(phase="Succeeded")

    events = list(follow(http, job.name, **{"Last-Event-ID": ids[1]}))

    assert [each.data["step"] for each in events if each.name == "progress"] == [2]


def test_unreadable_entry_is_skipped(http: httpx.Client, job: StreamedJob) -> None:
    job.redis.xadd(stream_name(job.uid), {STREAM_FIELD: "rubbish"})
    job.report(step=1)
    job.set_status(phase="Succeeded")

    assert [each.name for each in follow(http, job.name)] == ["status", "progress", "end"]


def test_stream_of_a_deleted_job_ends(http: httpx.Client, job: StreamedJob) -> None:
    events = follow(http, job.name)
    next(events)
    job.cluster.delete(Kind.GENERATE, job.name)

    assert [(each.name, each.data) for each in events] == [("end", {"reason": "Deleted"})]


def test_stream_without_redis_sends_the_status(
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


def test_countdown_alone_sends_no_status(http: httpx.Client, job: StreamedJob) -> None:
    start = datetime.now(UTC) + timedelta(hours=1)
    job.set_status(phase="Queued", queue={"position": 0, "estimatedStartTime": start.isoformat()})
    events = follow(http, job.name)
    assert 3500 < next(events).data["queue"]["estimated_start_seconds"] <= 3600
    two_checks_later = time.monotonic() + 2.5 * Settings().events_poll_seconds
    wait_until(lambda: time.monotonic() > two_checks_later, "the stream was checked twice")
    job.set_status(phase="Succeeded")

    assert [each.name for each in events] == ["status", "end"]


def test_stopping_gateway_ends_its_streams(start_gateway: Any, environment: dict[str, str], job: StreamedJob) -> None:
    with start_gateway(environment) as gateway:
        events = follow(gateway.http, job.name)
        next(events)
        gateway.process.terminate()

        assert [(each.name, each.data) for each in events] == [("end", {"reason": "GatewayStopping"})]
        assert gateway.process.wait(timeout=10) in (0, -15)


async def test_fifty_watchers_of_a_gateway_share_one_connection_to_redis(
    start_gateway: Any, environment: dict[str, str], job: StreamedJob
) -> None:
    before = {each["id"] for each in job.redis.client_list()}
    with start_gateway(environment) as gateway:
        streams = [await asyncio.open_connection("127.0.0.1", gateway.http.base_url.port) for _ in range(50)]
        for _, writer in streams:
            writer.write(f"GET /jobs/{job.name}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        for reader, _ in streams:
            await reader.readuntil(b"event: status")
        entry_id = job.report(step=3)
        received = [await reader.readuntil(f"id: {entry_id}".encode()) for reader, _ in streams]
        others = [each for each in job.redis.client_list() if each["id"] not in before]
        for _, writer in streams:
            writer.close()

    assert not any(b"event: warning" in each for each in received)
    assert len(others) == 1


@pytest.mark.parametrize("last", ["99999999999999999999-0", "18446744073709551616-1", "1-99999999999999999999"])
def test_last_event_id_beyond_64_bits_is_not_an_outage(http: httpx.Client, job: StreamedJob, last: str) -> None:
    job.report(step=1)
    job.set_status(phase="Succeeded")

    events = list(follow(http, job.name, **{"Last-Event-ID": last}))

    assert [each.name for each in events] == ["status", "progress", "end"]


@pytest.mark.parametrize("last", ["-0", "5", "5-", "-", "+5-0", "5-0-0", "$", "one", "5 - 0", "5.0-0", "9" * 21 + "-0"])
def test_invalid_last_event_id_is_refused_with_advice(http: httpx.Client, job: StreamedJob, last: str) -> None:
    response = http.get(f"/jobs/{job.name}/events", headers={"Last-Event-ID": last})

    assert response.status_code == 422
    [error] = response.json()["errors"]
    assert error["parameter"] == "Last-Event-ID"
    assert error["message"].startswith("Send the id of a progress event, such as 1795501214886-0")


def test_streams_beyond_the_limit_are_refused_with_retry_after(
    start_gateway: Any, environment: dict[str, str], job: StreamedJob
) -> None:
    limit = {"DARKROOM_GATEWAY_MAX_EVENT_STREAMS": "1"}
    with start_gateway({**environment, **limit}) as gateway:
        with closing(follow(gateway.http, job.name)) as events:
            next(events)
            refused = gateway.http.get(f"/jobs/{job.name}/events")
            assert gateway.http.get("/healthz").status_code == 200
        taken = wait_until(lambda: _events_that_begin(gateway.http, job), "the place is free again")

    assert (refused.status_code, refused.json()["type"]) == (503, "tag:darkroom.dev,2026:TooManyStreams")
    assert int(refused.headers["retry-after"]) > 0
    assert taken == ["status"]


def _events_that_begin(http: httpx.Client, job: StreamedJob) -> list[str]:
    """The first event of a stream; None if it is refused."""
    with http.stream("GET", f"/jobs/{job.name}/events") as response:
        lines = response.iter_lines()
        return [next(lines).removeprefix("event: ")] if response.status_code == 200 else []
