"""Fast path for polls of `GET /v1/jobs/{id}`, as jobs/poll_route.py has one for the older endpoints.

Polls without query, body and `Prefer`, for a job in the store, are answered from the cache. FastAPI handles all others.
"""

from fastapi import Request, Response
from fastapi.routing import APIRoute

from darkroom_gateway.jobs.poll_route import TASK, Handler, has_body, json_response
from darkroom_gateway.services import Services
from darkroom_gateway.v1.serializers import PATH


class V1PollRoute(APIRoute):
    """A route that answers polls from the cache when possible."""

    def get_route_handler(self) -> Handler:
        checked = super().get_route_handler()
        if self.path != f"{PATH}/{{id}}" or self.methods != {"GET"}:
            return checked

        async def handle(request: Request) -> Response:
            body = _ready(request)
            return await checked(request) if body is None else json_response(body)

        return handle


def _ready(request: Request) -> bytes | None:
    job_id = request.scope["path_params"]["id"]
    headers = request.scope["headers"]
    if request.scope["query_string"] or has_body(request) or any(name == b"prefer" for name, _ in headers):
        return None
    if not TASK.fullmatch(job_id):
        return None
    services: Services = request.app.state.services
    stored = services.jobs.cached(job_id, None)
    return None if stored is None else services.v1.answers.job(stored, services.informer.lost)
