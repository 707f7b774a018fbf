"""The response with `stream: true`: previews while a job runs, then its pictures, as OpenAI's server-sent events.

The events come from the hub of `GET /jobs/{task_id}/events`. Pings while nothing else is sent keep a proxy from closing
the connection: also while a run reports progress without previews, and while a picture waits for memory. An error after
the start is an event, as in OpenAI's API.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from fastapi import Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from darkroom_contract.jobs import Job
from darkroom_contract.progress import Preview
from darkroom_gateway.errors import GatewayError, UnavailableError, UnknownTaskError
from darkroom_gateway.events.feed import JobWatcher
from darkroom_gateway.events.frames import PING
from darkroom_gateway.events.hub import GATEWAY_STOPPING, PING_SECONDS, EventHub
from darkroom_gateway.http.problems import problem_of
from darkroom_gateway.jobs.serializers import phase_of
from darkroom_gateway.openai_images.error_shape import error_of
from darkroom_gateway.openai_images.held_answers import SlowReaderError, disconnect_slow_reader, in_blocks, send_blocks
from darkroom_gateway.openai_images.results import Form, Results, completed
from darkroom_gateway.openai_images.schemas import CompletedEvent, OpenAIImage, PartialImageEvent
from darkroom_gateway.photos.upload_validator import unless_disconnected


@dataclass(frozen=True)
class StreamForm:
    """How a request wants its stream."""

    kind: str
    """First part of the types of events: image_generation or image_edit."""
    previews: int
    """Maximum number of previews of each picture."""
    form: Form
    client: str | None
    """Name of the API key."""


class ImageEvents:
    """The events of one job. Its maker must call `leave` once."""

    def __init__(self, job: Job, form: StreamForm, hub: EventHub, results: Results) -> None:
        """Raises `TooManyStreamsError`."""
        self._job = job
        self._form = form
        self._results = results
        self._watcher: JobWatcher = hub.join(job, None)
        self._sent: dict[int, int] = {}
        """Number of previews that were sent, by seed."""

    def leave(self) -> None:
        self._watcher.leave()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """All events, and pings."""
        async with aclosing(self._events()) as events:
            while True:
                step = asyncio.create_task(_next_of(events))
                try:
                    while not (await asyncio.wait({step}, timeout=PING_SECONDS))[0]:
                        yield PING
                finally:
                    step.cancel()
                    await asyncio.gather(step, return_exceptions=True)
                if (event := step.result()) is None:
                    return
                del step
                yield event
                del event  # The client has read it. The next one may take a while.

    async def _events(self) -> AsyncGenerator[bytes, None]:
        try:
            async for name, data in self._frames():
                if name == "progress" and (preview := json.loads(data).get("preview")) is not None:
                    for event in self._partial(Preview.model_validate(preview)):
                        yield event
                elif name == "end":
                    async with aclosing(self._completed(json.loads(data)["reason"])) as completed_events:
                        async for event in completed_events:
                            yield event
                            del event
        except GatewayError as error:
            yield _error_event(error)

    async def _frames(self) -> AsyncIterator[tuple[str, bytes]]:
        """Names and data of the hub's events, without its pings."""
        while True:
            chunk = self._watcher.take()
            for frame in filter(None, chunk.split(b"\n\n")):
                fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if not line.startswith(b":"))
                if fields:
                    yield fields[b"event"].decode(), fields[b"data"]
            if not chunk and self._watcher.is_done:
                return
            if not chunk:
                await self._watcher.news()

    def _partial(self, preview: Preview) -> Iterator[bytes]:
        index = self._sent.get(preview.seed, 0)
        if index < self._form.previews:
            self._sent[preview.seed] = index + 1
            fields = self._fields(int(time.time()), preview.jpeg, preview.seed) | {"output_format": "jpeg"}
            kind = f"{self._form.kind}.partial_image"
            yield _event(kind, PartialImageEvent(**fields, type=kind, partial_image_index=index))

    async def _completed(self, reason: str) -> AsyncGenerator[bytes, None]:
        """Raises a `GatewayError` unless the job has succeeded."""
        job = self._watcher.feed.job
        if reason == GATEWAY_STOPPING:
            raise UnavailableError(f"The gateway is stopping. The job {job.name} continues: see /v1/jobs/{job.name}.")
        if not phase_of(job).is_terminal:
            raise UnknownTaskError(f"The job {job.name} was deleted before it had finished.")
        async with aclosing(self._results.pictures(job, self._form.client)) as pictures:
            async for each in pictures:
                event = await to_thread.run_sync(self._completed_event, completed(job), each)
                del each  # While the client reads the event, nothing else of the picture stays in memory.
                yield event
                del event

    def _completed_event(self, created: int, picture: OpenAIImage) -> bytes:
        kind = f"{self._form.kind}.completed"
        fields = self._fields(created, picture.b64_json or "", picture.seed)
        return _event(kind, CompletedEvent(**fields, type=kind))

    def _fields(self, created: int, picture: str, seed: int | None) -> dict[str, Any]:
        form = self._form.form
        return {
            "b64_json": picture,
            "created_at": created,
            "output_format": form.format,
            "quality": form.quality,
            "size": form.size or "auto",
            "job_id": self._job.name,
            "seed": seed,
        }


class ImageStream(Response):
    """Sends the events until the job ends or the client disconnects."""

    media_type = "text/event-stream"

    def __init__(self, events: ImageEvents, abandon: Callable[[], None], headers: dict[str, str]) -> None:
        """`abandon` is called when the client disconnects."""
        # Skips the parent's constructor: a stream has no body and no length.
        self.status_code = 200
        self.background = None
        self.init_headers({"X-Accel-Buffering": "no", **headers})  # Disables response buffering in nginx.
        self._events = events
        self._abandon = abandon

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await unless_disconnected(Request(scope, receive), self._send_all(send))
        except ClientDisconnect:
            self._abandon()
        except SlowReaderError as error:
            disconnect_slow_reader(scope, error)
        finally:
            self._events.leave()

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._events.chunks()) as chunks:
            async for chunk in chunks:
                await send_blocks(in_blocks(chunk), send)
                del chunk
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _next_of(events: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(events, None)


def _event(name: str, data: BaseModel) -> bytes:
    return format_sse_event(data_str=data.model_dump_json(), event=name)


def _error_event(error: GatewayError) -> bytes:
    shaped = error_of(problem_of(error).model_dump())
    return format_sse_event(data_str=json.dumps({"type": "error", **shaped.model_dump()}), event="error")
