"""Reference endpoint for the gateway: plain FastAPI and redis.asyncio. Used by gateway.py.

The status is JSON in Redis under `task:<id>`, and is returned unchanged. No response models, keys, logs, metrics or
links: the fastest version of a ten-line endpoint.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from redis.asyncio import Redis

redis = Redis.from_url(os.environ["REDIS_URL"], max_connections=1000)
"""The default limit of redis-py is 100; requests beyond it would fail."""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/result")
async def result(task_id: str) -> Response:
    status = await redis.get(f"task:{task_id}")
    if status is None:
        raise HTTPException(404)
    return Response(status, media_type="application/json")


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
