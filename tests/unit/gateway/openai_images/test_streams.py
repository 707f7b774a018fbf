"""`stream=True` of OpenAI's own package, sync and async: previews, pictures and errors."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
import redis
from support.gateway_cluster import wait_until
from support.running_gateway import Gateway

from darkroom_contract.names import Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name

NOW = "2026-01-02T03:04:05Z"
PREVIEW = base64.b64encode(b"preview").decode()
Report = Callable[[int, int], None]


@pytest.fixture
def report(run: Any, redis_url: str) -> Report:
    """Reports a preview of a picture, by its seed, after a step."""

    def send(seed: int, step: int) -> None:
        event = {"attempt": 1, "stage": "Denoising", "step": step, "total": 9, "progressPercentage": 10.0, "time": NOW}
        event["preview"] = {"seed": seed, "step": step, "jpeg": PREVIEW}
        with redis.Redis.from_url(redis_url) as client:
            client.xadd(stream_name(run.job()["metadata"]["uid"]), {STREAM_FIELD: json.dumps(event)})

    return send


def read(client: openai.OpenAI, events: list[Any], **parameters: Any) -> None:
    """Add the events to a list as they arrive."""
    with client.images.generate(stream=True, **parameters) as stream:
        for each in stream:
            events += [each]


def test_previews_come_before_the_pictures(client: openai.OpenAI, run: Any, report: Report) -> None:
    events: list[Any] = []
    # As they arrive: of several previews at once only the newest is sent.
    reading = run.during(lambda **asked: read(client, events, partial_images=2, size="256x512", n=2, **asked))
    for seed, step, received in ((7, 10, 1), (7, 20, 2), (7, 25, 2), (8, 10, 3)):
        report(seed, step)
        wait_until(lambda received=received: len(events) == received, f"{received} previews have arrived")
    name = run.succeed(b"first", b"second")
    reading.result()

    assert [(each.type, each.model_extra["seed"]) for each in events] == [
        ("image_generation.partial_image", 7),
        ("image_generation.partial_image", 7),
        ("image_generation.partial_image", 8),
        ("image_generation.completed", 7),
        ("image_generation.completed", 8),
    ]
    assert [each.partial_image_index for each in events[:3]] == [0, 1, 0]
    assert {(each.b64_json, each.output_format) for each in events[:3]} == {(PREVIEW, "jpeg")}
    assert [base64.b64decode(each.b64_json) for each in events[3:]] == [b"first", b"second"]
    assert {(each.size, each.model_extra["job_id"]) for each in events} == {("256x512", name)}
    assert events[-1].usage.total_tokens == 0
    assert run.job()["spec"]["images"]["previewSteps"] == 10


async def test_async_edit_without_previews(gateway: Gateway, run: Any, report: Report, picture: Any) -> None:
    http = openai.DefaultAsyncHttpxClient(trust_env=False)
    address = str(gateway.http.base_url.join("/v1"))
    async with openai.AsyncOpenAI(base_url=address, api_key="unused", max_retries=0, http_client=http) as client:
        stream = await client.images.edit(image=picture(), prompt=run.prompt, stream=True)
        await asyncio.to_thread(report, 7, 10)
        await asyncio.to_thread(run.succeed, b"edited")
        events = [each async for each in stream]

    assert [each.type for each in events] == ["image_edit.completed"]


def test_failed_job_ends_the_stream_with_an_error(client: openai.OpenAI, run: Any) -> None:
    reading = run.during(lambda **asked: read(client, [], **asked))
    name = run.fail("OutOfMemory", "What happened.")

    with pytest.raises(openai.APIError, match=rf"{name} failed \(OutOfMemory\)") as failed:
        reading.result()
    assert (failed.value.type, failed.value.code) == ("server_error", "job_failed")


def test_deleted_job_ends_the_stream_with_an_error(client: openai.OpenAI, run: Any, cluster: Any) -> None:
    reading = run.during(lambda **asked: read(client, [], **asked))
    cluster.delete(Kind.GENERATE, run.name())

    with pytest.raises(openai.APIError, match="was deleted before it had finished"):
        reading.result()


def test_closed_stream_leaves_no_job_behind(client: openai.OpenAI, run: Any) -> None:
    with client.images.generate(prompt=run.prompt, stream=True):
        assert run.find() is not None

    wait_until(lambda: run.find() is None, "the job is deleted")
