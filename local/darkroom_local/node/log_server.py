"""The kubelet's HTTP endpoints for container logs and health. Started by `__main__`, on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from darkroom_local.node.node import Node
from darkroom_local.node.pod_dirs import ContainerDir, is_name
from darkroom_local.node.pod_worker import PodWorker

CHUNK_BYTES = 64 * 1024
FOLLOW_SECONDS = 0.1
"""Between reads of a followed log."""
UNSUPPORTED_OPTIONS = ("timestamps", "sinceSeconds", "sinceTime", "previous")
"""Options of `kubectl logs` that need timestamps of lines, or the log of an earlier run; the node keeps neither."""
OWN_HOSTS = ("127.0.0.1", "localhost")
"""Other Host headers are rejected, against DNS rebinding: a web page can't read logs."""


def log_app(node: Node) -> Starlette:
    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def container_log(request: Request) -> Response:
        params = request.path_params
        worker = node.worker(params["pod"]) if params["namespace"] == node.settings.namespace else None
        if worker is None:
            return PlainTextResponse(f"pod {params['pod']} is not on this node", status_code=404)
        if not is_name(params["container"]):
            return PlainTextResponse(f"container {params['container']} is not in pod {params['pod']}", status_code=404)
        return _log_of(worker, params["container"], node.dirs.of(worker.uid).container(params["container"]), request)

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/containerLogs/{namespace}/{pod}/{container}", container_log),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=OWN_HOSTS, www_redirect=False)],
    )


def _log_of(worker: PodWorker, container: str, container_dir: ContainerDir, request: Request) -> Response:
    query = request.query_params
    for option in UNSUPPORTED_OPTIONS:
        if query.get(option, "false") not in ("false", ""):
            return PlainTextResponse(f"the local node does not support {option} for logs", status_code=400)
    try:
        tail, limit = (int(query[name]) if query.get(name) else None for name in ("tailLines", "limitBytes"))
    except ValueError:
        return PlainTextResponse("tailLines and limitBytes must be numbers", status_code=400)
    if worker.run_record is None or not container_dir.log.exists():
        why = f'container "{container}" in pod "{worker.name}" is waiting to start'
        return PlainTextResponse(why, status_code=400)
    follow = query.get("follow") == "true"
    chunks = _chunks(lambda: worker.gone or worker.is_container_over(container), container_dir, tail, follow)
    return StreamingResponse(_limited(chunks, limit), media_type="text/plain")


async def _chunks(
    is_over: Callable[[], bool], container_dir: ContainerDir, tail: int | None, follow: bool
) -> AsyncIterator[bytes]:
    with container_dir.log.open("rb") as log:
        log.seek(_tail_offset(container_dir, tail))
        while True:
            last = not follow or is_over()  # Checked before reading, so that no output is missed.
            while chunk := log.read(CHUNK_BYTES):
                yield chunk
            if last:
                return
            await asyncio.sleep(FOLLOW_SECONDS)


async def _limited(chunks: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if limit is None:
            yield chunk
            continue
        yield chunk[:limit]
        limit -= len(chunk)
        if limit <= 0:
            return


def _tail_offset(container_dir: ContainerDir, lines: int | None) -> int:
    """The offset of the last `lines` lines."""
    if lines is None:
        return 0
    content = container_dir.log.read_bytes()
    position = len(content) - content.endswith(b"\n")
    for _ in range(lines):
        position = content.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1 if lines else len(content)
