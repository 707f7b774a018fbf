"""Fast path for polls of `/result`, `/images` and `/jobs/{task_id}`, which skips FastAPI's request handling.

Most requests are polls with one well-formed task id and no body, for a job in the store. They are answered here from
the response cache. All other requests, and all invalid ones, are handled by FastAPI and the endpoint of the same path,
which gives the same response.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from darkroom_contract.names import MAX_JOB_NAME_LENGTH, Kind
from darkroom_gateway.jobs.response_cache import with_staleness
from darkroom_gateway.services import Services

KINDS = {"/result": Kind.TRAIN, "/images": Kind.GENERATE}
JOB_PATH = "/jobs/{task_id}"

_TASK_ID = rb"([a-z0-9](?:[a-z0-9-]{0,%d}[a-z0-9])?)" % (MAX_JOB_NAME_LENGTH - 2)
_TASK_IN_QUERY = re.compile(rb"task_id=" + _TASK_ID)
TASK = re.compile(_TASK_ID.decode())
_KIND_IN_QUERY = re.compile(rb"kind=(TrainJob|GenerateJob)")
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class CachedPollRoute(APIRoute):
    """A route that answers polls from the response cache when possible."""

    def get_route_handler(self) -> Handler:
        checked = super().get_route_handler()
        ready: Callable[[Request], bytes | None]
        if self.path in KINDS and self.methods == {"GET"}:
            kind = KINDS[self.path]
            ready = lambda request: _with_files(request, kind)  # noqa: E731
        elif self.path == JOB_PATH and self.methods == {"GET"}:
            ready = _job
        else:
            return checked

        async def handle(request: Request) -> Response:
            body = None if has_body(request) else ready(request)
            return await checked(request) if body is None else json_response(body)

        return handle


def json_response(body: bytes) -> Response:
    return Response(body, media_type="application/json")


async def answer_with_files(task_id: str, kind: Kind, services: Services) -> Response:
    """The job with its files. Raises what `JobService.look_up` and `ResponseCache.with_files` raise."""
    stored = await services.jobs.look_up(task_id, kind)
    return json_response(with_staleness(await services.response_cache.with_files(stored), services.informer.lost))


def has_body(request: Request) -> bool:
    return not _BODY_HEADERS.isdisjoint(name for name, _ in request.scope["headers"])


def _with_files(request: Request, kind: Kind) -> bytes | None:
    found = _TASK_IN_QUERY.fullmatch(request.scope["query_string"])
    if found is None:
        return None
    services: Services = request.app.state.services
    stored = services.jobs.cached(found[1].decode(), kind)
    body = None if stored is None else services.response_cache.ready_with_files(stored)
    return None if body is None else with_staleness(body, services.informer.lost)


def _job(request: Request) -> bytes | None:
    query, task_id = request.scope["query_string"], request.scope["path_params"]["task_id"]
    found = _KIND_IN_QUERY.fullmatch(query)
    if (query and found is None) or not TASK.fullmatch(task_id):
        return None
    services: Services = request.app.state.services
    stored = services.jobs.cached(task_id, None if found is None else Kind(found[1].decode()))
    return None if stored is None else with_staleness(services.response_cache.job(stored), services.informer.lost)
