"""`AsyncDarkroom` has the methods of `Darkroom`, and does the same."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.scripted_gateway import ScriptedGateway, content, document, events, job, lost_connection, problem

from darkroom_client import AsyncDarkroom, Darkroom, Disconnected, JobChanged, Retries, errors

QUICK = Retries(attempts=4, first_seconds=0.001, longest_seconds=0.002)


@pytest.fixture
async def client(gateway: ScriptedGateway) -> AsyncIterator[AsyncDarkroom]:
    async with AsyncDarkroom(gateway.url, retries=QUICK) as client:
        yield client


def public(kind: type) -> dict[str, inspect.Signature]:
    members = {name: value for name, value in vars(kind).items() if not name.startswith("_")}
    return {name: inspect.signature(value) for name, value in members.items() if callable(value)}


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    mine, theirs = public(AsyncDarkroom), public(Darkroom)
    assert list(mine) == list(theirs)
    assert {name: value.parameters for name, value in mine.items()} == {
        name: value.parameters for name, value in theirs.items()
    }


async def test_submission_is_retried_with_its_key(
    gateway: ScriptedGateway, client: AsyncDarkroom, photos: Path
) -> None:
    gateway.script("POST", "/v1/train-jobs", lost_connection, problem(503, "NotReady"), document(job(), 202))
    submitted = await client.train(photos, model_id="my-dog", prompt="a photo of sks dog")
    requests = gateway.sent("POST", "/v1/train-jobs")
    assert submitted.id == "train-a"
    assert len({each.headers["idempotency-key"] for each in requests}) == 1
    assert len({len(each.body) for each in requests}) == 1


async def test_job_is_followed_over_a_lost_stream(gateway: ScriptedGateway, client: AsyncDarkroom) -> None:
    done = document(job(status="Succeeded"))
    gateway.script("GET", "/v1/jobs/train-a", document(job()), lost_connection, document(job()), done)
    step = {"stage": "Training", "step": 1}
    gateway.script("GET", "/v1/jobs/train-a/events", events(("progress", step, "5-0")), events(("end", {}, "")))
    found = [event async for event in client.follow("train-a")]
    assert isinstance(found[-1], JobChanged)
    assert found[-1].job.succeeded
    assert any(isinstance(event, Disconnected) for event in found)
    assert gateway.sent("GET", "/v1/jobs/train-a/events")[1].headers["last-event-id"] == "5-0"


async def test_pages_of_jobs_are_joined(gateway: ScriptedGateway, client: AsyncDarkroom) -> None:
    pages = [{"jobs": [job(f"train-{i}")], "total": 2, "next_cursor": "c" if i == 0 else None} for i in range(2)]
    gateway.script("GET", "/v1/jobs", *map(document, pages))
    found = [each.id async for each in client.jobs(status=["Running", "Queued"], query="dog")]
    assert found == ["train-0", "train-1"]
    assert gateway.requests[1].path == "/v1/jobs?status=Running&status=Queued&q=dog&cursor=c"


async def test_logs_and_all_events_are_streams(gateway: ScriptedGateway, client: AsyncDarkroom) -> None:
    gateway.script("GET", "/v1/jobs/train-a/logs", content(b"one\ntwo"))
    assert [line async for line in client.logs("train-a")] == ["one", "two"]
    gateway.script("GET", "/v1/events", events(("job", job(), "1-1")))
    stream = client.events()
    event = await anext(stream)
    await stream.aclose()
    assert isinstance(event, JobChanged)


async def test_files_are_saved(gateway: ScriptedGateway, client: AsyncDarkroom, tmp_path: Path) -> None:
    gateway.script("GET", "/a.png", content(b"picture"))
    artifact = {"name": "a.png", "role": "image", "url": "/a.png", "bytes": 7}
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Succeeded", artifacts=[artifact])))
    [path] = await client.download("train-a", tmp_path)
    assert path.read_bytes() == b"picture"


async def test_failed_wait_is_typed(gateway: ScriptedGateway, client: AsyncDarkroom) -> None:
    gateway.script("GET", "/v1/jobs/train-a", document(job(status="Failed", error={"reason": "R", "message": "m"})))
    with pytest.raises(errors.JobFailedError) as caught:
        (await client.wait("train-a")).require_success()
    assert caught.value.reason == "R"
