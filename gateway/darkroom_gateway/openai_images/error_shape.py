"""Errors of `/v1/images` in the shape of OpenAI's API. Middleware, installed by app.py.

Every other part of the gateway answers problem details (RFC 9457). This converts them, so that a missing API key, a
large body and a full queue have the same shape as an error of the endpoint. Invalid input gets `400` instead of `422`:
OpenAI's clients raise it as `BadRequestError`. Only what is answered before a request has a path, such as malformed
HTTP, keeps its problem details.
"""

import json
import logging
import re
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom_gateway.http.problems import MEDIA_TYPE, TYPE_PREFIX
from darkroom_gateway.http.root_path import route_path

log = logging.getLogger(__name__)

PREFIX = "/v1/images/"

_CODES = {"Unauthorized": "invalid_api_key", "UnknownModel": "model_not_found"}
"""Codes that clients know from OpenAI. The others are names of problems in snake_case."""

ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class OpenAIErrorDetail(BaseModel):
    """What went wrong, in the shape of OpenAI's API."""

    message: str = Field(description="What happened, and what to do.")
    type: ErrorType = Field(description="Whether the request, a limit or the server is the cause.")
    param: str | None = Field(description="The parameter to change; null if it is none.")
    code: str = Field(description="Identifies the type of problem. Stable.", examples=["model_not_found"])


class OpenAIError(BaseModel):
    """An error in the shape of OpenAI's API."""

    error: OpenAIErrorDetail


def status_of(status: int) -> int:
    """The status for OpenAI's clients."""
    return HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNPROCESSABLE_ENTITY else status


def error_of(problem: dict[str, Any]) -> OpenAIError:
    """The error of problem details."""
    kind = str(problem["type"]).removeprefix(TYPE_PREFIX)
    fields = problem.get("errors") or []
    detail = OpenAIErrorDetail(
        message=problem["detail"],
        type=_type_of(problem["status"]),
        param=fields[0]["parameter"] if fields else None,
        code=_CODES.get(kind) or re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower(),
    )
    return OpenAIError(error=detail)


def _type_of(status: int) -> ErrorType:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


class OpenAIErrorsMiddleware:
    """Converts the problem details of responses below `PREFIX`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not route_path(scope).startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        response = _Response(send)
        try:
            await self._app(scope, receive, response.send)
        except Exception:
            # The handler of unexpected errors is outside of all middleware.
            if not response.has_begun:
                await response.fail()
            raise


class _Response:
    """Passes messages on. Holds back the start of problem details until their body is complete."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        """The start that is held back."""
        self._body = b""
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is not None and message["type"] == "http.response.body":
            await self._convert(self._start, message)
        else:
            self.has_begun = True
            await self._send(message)

    async def _convert(self, start: Message, message: Message) -> None:
        """By the announced length and not by `more_body`: some responses are ended later, when the request is read."""
        self._body += message.get("body", b"")
        more_body = message.get("more_body", False)
        if more_body and len(self._body) < int(MutableHeaders(scope=start).get("content-length", "0")):
            return
        self._start, self.has_begun = None, True
        problem = json.loads(self._body)
        await self._send_error(status_of(start["status"]), start["headers"], error_of(problem), more_body=more_body)

    async def fail(self) -> None:
        """Respond `500`."""
        self.has_begun = True
        problem = {
            "type": f"{TYPE_PREFIX}Internal",
            "status": 500,
            "detail": "This is a bug in the gateway. Its log has the details.",
        }
        await self._send_error(500, [], error_of(problem), more_body=False)

    async def _send_error(self, status: int, headers: Any, error: OpenAIError, *, more_body: bool) -> None:
        body = error.model_dump_json().encode()
        start: Message = {"type": "http.response.start", "status": status, "headers": list(headers)}
        changed = MutableHeaders(scope=start)
        changed["content-type"], changed["content-length"] = "application/json", str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body, "more_body": more_body})


def _is_problem(start: Message) -> bool:
    return any(name == b"content-type" and value.startswith(MEDIA_TYPE.encode()) for name, value in start["headers"])
