"""The events of a stream as bytes: what they keep in memory, and pings while nothing else is sent."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from support.job_documents import job_document

from darkroom_contract.jobs import Job, read_job
from darkroom_gateway.events.frames import end_frame
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

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(2)

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
                while tracemalloc.get_traced_memory()[0] > 1.5 * PICTURE_BYTES:
                    await asyncio.sleep(0.01)
        finally:
            tracemalloc.stop()

    assert len(event) > PICTURE_BYTES
