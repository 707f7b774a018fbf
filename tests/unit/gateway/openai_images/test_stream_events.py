"""The events of a stream as bytes: what they keep in memory, and pings while nothing else is sent."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from support.job_documents import job_document

from darkroom_contract.jobs import Job, read_job
from darkroom_gateway.events.frames import PING, end_frame
from darkroom_gateway.openai_images import stream
from darkroom_gateway.openai_images.results import Form
from darkroom_gateway.openai_images.schemas import OpenAIImage
from darkroom_gateway.openai_images.stream import ImageEvents, StreamForm

PICTURE_BYTES = 8 * 1024**2
FORM = StreamForm("image_generation", 0, Form(links=False, format="png", quality="auto", size=None), None)


class Hub:
    """Of a job that has succeeded. Its own hub, feed and watcher."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._frames = [end_frame("Succeeded")]

    def join(self, _job: Job, _after: Any) -> Any:
        return self

    @property
    def feed(self) -> Any:
        return self

    @property
    def is_done(self) -> bool:
        return not self._frames

    def take(self) -> bytes:
        return self._frames.pop() if self._frames else b""


class Results:
    """Two pictures, each of which waits for its turn."""

    def __init__(self, turns: int = 2) -> None:
        self.turns = asyncio.Semaphore(turns)

    async def pictures(self, _job: Job, _client: str | None) -> AsyncGenerator[OpenAIImage, None]:
        for seed in (1, 2):
            await self.turns.acquire()
            yield OpenAIImage(b64_json="x" * PICTURE_BYTES, seed=seed)


def events_of(results: Results) -> ImageEvents:
    job = read_job(job_document(1, phase="Succeeded"))
    hub: Any = Hub(job)
    given: Any = results
    return ImageEvents(job, FORM, hub, given)


async def test_picture_is_in_memory_once_while_it_is_sent() -> None:
    async with aclosing(events_of(Results()).chunks()) as chunks:
        tracemalloc.start()
        try:
            event = await anext(chunks)
            async with asyncio.timeout(30):
                # The thread that made the event drops its references a little later.
                while tracemalloc.get_traced_memory()[0] > 1.5 * PICTURE_BYTES:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            tracemalloc.stop()

    assert len(event) > PICTURE_BYTES


async def test_picture_that_was_read_leaves_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING_SECONDS", 0.01)
    async with asyncio.timeout(30), aclosing(events_of(Results(turns=1)).chunks()) as chunks:
        tracemalloc.start()
        try:
            while await anext(chunks) == PING:
                pass
            while tracemalloc.get_traced_memory()[0] > 0.5 * PICTURE_BYTES:
                assert await anext(chunks) == PING
        finally:
            tracemalloc.stop()


async def test_stream_has_pings_while_a_picture_waits_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING_SECONDS", 0.01)
    results = Results(turns=1)
    async with asyncio.timeout(30), aclosing(events_of(results).chunks()) as chunks:
        received = [each async for each in _until_pings(chunks, 2)]
        results.turns.release()
        received += [each async for each in chunks]

    events = [each for each in received if each != PING]
    assert [b"image_generation.completed" in each for each in events] == [True, True]


async def test_closed_stream_leaves_no_work_behind() -> None:
    tasks = asyncio.all_tasks()
    async with aclosing(events_of(Results(turns=0)).chunks()) as chunks:
        reading = asyncio.ensure_future(anext(chunks))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    assert asyncio.all_tasks() == tasks


async def _until_pings(chunks: AsyncGenerator[bytes, None], count: int) -> AsyncGenerator[bytes, None]:
    """Up to this number of pings after a picture."""
    pictures = pings = 0
    while pings < count:
        chunk = await anext(chunks)
        pictures += chunk != PING
        pings += chunk == PING and pictures > 0
        yield chunk
