"""What a kubelet serves over HTTP: the logs of pods, and its health. Started by `__main__`, on loopback."""

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
"""How often a followed log is looked at."""
NOT_KEPT = ("timestamps", "sinceSeconds", "sinceTime", "previous")
"""Options of `kubectl logs` that need what is not kept here: when a line was written, and the run before."""
OWN_HOSTS = ("127.0.0.1", "localhost")
"""A web page that has its own name lead to this machine (DNS rebinding) sends that name as Host: it reads no log."""


def log_app(node: Node) -> Starlette:
    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def container_log(request: Request) -> Response:
        place = request.path_params
        worker = node.worker(place["pod"]) if place["namespace"] == node.settings.namespace else None
        if worker is None:
            return PlainTextResponse(f"pod {place['pod']} is not on this node", status_code=404)
        if not is_name(place["container"]):
            return PlainTextResponse(f"container {place['container']} is not in pod {place['pod']}", status_code=404)
        return _log_of(worker, place["container"], node.folders.of(worker.uid).container(place["container"]), request)

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/containerLogs/{namespace}/{pod}/{container}", container_log),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=OWN_HOSTS, www_redirect=False)],
    )


def _log_of(worker: PodWorker, container: str, folder: ContainerDir, request: Request) -> Response:
    query = request.query_params
    for option in NOT_KEPT:
        if query.get(option, "false") not in ("false", ""):
            return PlainTextResponse(f"the local node keeps no {option} of logs", status_code=400)
    try:
        tail, limit = (int(query[name]) if query.get(name) else None for name in ("tailLines", "limitBytes"))
    except ValueError:
        return PlainTextResponse("tailLines and limitBytes must be numbers", status_code=400)
    if worker.interval is None or not folder.log.exists():
        why = f'container "{container}" in pod "{worker.name}" is waiting to start'
        return PlainTextResponse(why, status_code=400)
    follow = query.get("follow") == "true"
    pieces = _pieces(lambda: worker.gone or worker.is_container_over(container), folder, tail, follow)
    return StreamingResponse(_limited(pieces, limit), media_type="text/plain")


async def _pieces(
    is_over: Callable[[], bool], folder: ContainerDir, tail: int | None, follow: bool
) -> AsyncIterator[bytes]:
    with folder.log.open("rb") as log:
        log.seek(_tail_offset(folder, tail))
        while True:
            last = not follow or is_over()  # Looked at before reading, so that nothing is missed.
            while piece := log.read(CHUNK_BYTES):
                yield piece
            if last:
                return
            await asyncio.sleep(FOLLOW_SECONDS)


async def _limited(pieces: AsyncIterator[bytes], limit: int | None) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if limit is None:
            yield piece
            continue
        yield piece[:limit]
        limit -= len(piece)
        if limit <= 0:
            return


def _tail_offset(folder: ContainerDir, lines: int | None) -> int:
    """Where the last so many lines begin."""
    if lines is None:
        return 0
    content = folder.log.read_bytes()
    position = len(content) - content.endswith(b"\n")
    for _ in range(lines):
        position = content.rfind(b"\n", 0, position)
        if position < 0:
            return 0
    return position + 1 if lines else len(content)
