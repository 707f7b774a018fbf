"""What a kubelet serves over HTTP: the logs of pods, and its health. Started by `__main__`, on loopback."""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from darkroom_local.node.folders import PodFolder
from darkroom_local.node.node import Node
from darkroom_local.node.worker import Worker

CHUNK_BYTES = 64 * 1024
FOLLOW_SECONDS = 0.1
"""How often a followed log is looked at."""
NOT_KEPT = ("timestamps", "sinceSeconds", "sinceTime", "previous")
"""Options of `kubectl logs` that need what is not kept here: when a line was written, and the run before."""


def log_app(node: Node) -> Starlette:
    async def health(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def container_log(request: Request) -> Response:
        place = request.path_params
        worker = node.worker(place["pod"]) if place["namespace"] == node.settings.namespace else None
        if worker is None:
            return PlainTextResponse(f"pod {place['pod']} is not on this node", status_code=404)
        return _log_of(worker, node.folders.of(worker.uid), request)

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/containerLogs/{namespace}/{pod}/{container}", container_log),
        ]
    )


def _log_of(worker: Worker, folder: PodFolder, request: Request) -> Response:
    query = request.query_params
    for option in NOT_KEPT:
        if query.get(option, "false") not in ("false", ""):
            return PlainTextResponse(f"the local node keeps no {option} of logs", status_code=400)
    try:
        tail, limit = (int(query[name]) if query.get(name) else None for name in ("tailLines", "limitBytes"))
    except ValueError:
        return PlainTextResponse("tailLines and limitBytes must be numbers", status_code=400)
    if worker.interval is None:
        return PlainTextResponse(f"the container of pod {worker.name} is waiting to start", status_code=400)
    pieces = _pieces(worker, folder, tail, follow=query.get("follow") == "true")
    return StreamingResponse(_limited(pieces, limit), media_type="text/plain")


async def _pieces(worker: Worker, folder: PodFolder, tail: int | None, follow: bool) -> AsyncIterator[bytes]:
    with folder.log.open("rb") as log:
        log.seek(_tail_offset(folder, tail))
        while True:
            last = worker.is_over or worker.gone or not follow  # Looked at before reading, so that nothing is missed.
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


def _tail_offset(folder: PodFolder, lines: int | None) -> int:
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
