"""Reference fan-out for the gateway: one task reads Redis, and each watcher has a queue. Used by gateway_watchers.py.

Plain FastAPI and redis.asyncio, without jobs, statuses, history, timeouts, or handling of slow watchers.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from redis.asyncio import Redis

from darkroom_contract.progress import STREAM_FIELD, stream_name

STREAM = stream_name("plain")

queues: set[asyncio.Queue[bytes]] = set()


async def fan_out() -> None:
    """Render each event once, and put it into the queue of each watcher."""
    last = "$"
    async with Redis.from_url(os.environ["REDIS_URL"], decode_responses=True, protocol=2) as client:
        while True:
            answer: Any = await client.xread({STREAM: last}, block=1000)
            for _, entries in answer or []:
                for last, fields in entries:
                    frame = f"event: progress\ndata: {fields[STREAM_FIELD]}\nid: {last}\n\n".encode()
                    for queue in queues:
                        queue.put_nowait(frame)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    reader = asyncio.create_task(fan_out())
    yield
    reader.cancel()


app = FastAPI(lifespan=lifespan)


async def frames() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    try:
        yield b": begin\n\n"
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


@app.get("/events")
async def events() -> StreamingResponse:
    return StreamingResponse(frames(), media_type="text/event-stream")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(
        app,
        port=int(os.environ["PORT"]),
        access_log=False,
        log_config=None,
        server_header=False,
        http="httptools",
        loop="uvloop",
    )
