"""The endpoint that the gateway is measured against: plain FastAPI and redis.asyncio, nothing else. Used by gateway.py.

Status lies in Redis as JSON under `task:<id>`, where whatever runs the jobs would write it, and goes out as it is. No
models, keys, logs, metrics or links: what anybody would write in ten lines, and the fastest form of it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from redis.asyncio import Redis

redis = Redis.from_url(os.environ["REDIS_URL"], max_connections=1000)
"""redis-py's own limit is 100: the requests beyond it would fail."""


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
