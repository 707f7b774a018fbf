"""Every error as one JSON shape, problem details (RFC 9457). Installed by app.py; error answers are made only here."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from darkroom_contract.names import BASE_MODEL_PATTERN, MODEL_ID_PATTERN
from darkroom_contract.specs import NOT_BLANK
from darkroom_gateway.errors import FieldError, GatewayError, invalid_request
from darkroom_gateway.events.progress_streams import LAST_EVENT_ID_PATTERN
from darkroom_gateway.http import path_suggestions
from darkroom_gateway.http.request_log import headers_of_request
from darkroom_gateway.http.root_path import route_path
from darkroom_gateway.http.security_headers import SAFE
from darkroom_gateway.jobs.cursors import ADVICE as CURSOR_ADVICE
from darkroom_gateway.jobs.cursors import CURSOR_PATTERN
from darkroom_gateway.jobs.task_ids import IDEMPOTENCY_KEY_PATTERN, TASK_ID_PATTERN

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_GIVEN_CHARACTERS = 200

TYPE_PREFIX = "tag:darkroom.dev,2026:"
"""A tag URI (RFC 4151): it names a kind of problem and need not lead anywhere."""

PATTERN_ADVICE = {
    NOT_BLANK: "Write some text: it must not be empty or blank.",
    MODEL_ID_PATTERN: "Use 1 to 63 letters, digits, '.', '_' and '-', with a letter or digit at both ends.",
    BASE_MODEL_PATTERN: "Use a hub repository, owner/name, or the plain name of a folder of the model root.",
    IDEMPOTENCY_KEY_PATTERN: "Use 1 to 255 printable ASCII characters without spaces, such as a UUID.",
    CURSOR_PATTERN: CURSOR_ADVICE,
    LAST_EVENT_ID_PATTERN: "Send the id of a progress event, such as 1795501214886-0, or leave the header out.",
    TASK_ID_PATTERN: "A task id is what a submission answered: at most 48 lower-case letters, digits and '-'.",
}


class ProblemError(BaseModel):
    """One thing to change."""

    parameter: str = Field(description="The parameter, or the file, that is meant.")
    message: str = Field(description="What is wrong and what to change.")
    given: str | None = Field(None, description="What was given, cut to 200 characters.")


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = Field(description="Names the kind of problem; stable.", examples=[TYPE_PREFIX + "InvalidRequest"])
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened this time, and what to do.")
    errors: list[ProblemError] = Field(default_factory=list, description="One entry for each thing to change.")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an endpoint, for its OpenAPI description."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {each: {"description": HTTPStatus(each).phrase, "content": content} for each in statuses}


def install(app: FastAPI) -> None:
    app.add_exception_handler(GatewayError, _answer_gateway_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_surprise)


def problem_of(error: GatewayError) -> Problem:
    kind = type(error).__name__.removesuffix("Error")
    return _problem(kind, error.title, error.status, str(error), error.field_errors)


def problem_response(error: GatewayError) -> Response:
    wait = error.retry_after_seconds
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return _response(problem_of(error), headers)


def _problem(kind: str, title: str, status: int, detail: str, field_errors: tuple[FieldError, ...] = ()) -> Problem:
    errors = [ProblemError(parameter=each.parameter, message=each.message, given=each.given) for each in field_errors]
    return Problem(type=TYPE_PREFIX + kind, title=title, status=status, detail=detail, errors=errors)


def _response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers={**SAFE, **(headers or {})})


def _answer_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    level = logging.ERROR if error.status >= 500 else logging.INFO
    log.log(level, "%s %s: %s", request.method, request.url.path, error)
    return problem_response(error)


def _answer_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(invalid_request(_complaint(each) for each in error.errors()))


def _complaint(error: Mapping[str, Any]) -> FieldError:
    # Behind the name of a parameter that may come several times stands the number of the value.
    parameter = next(each for each in reversed(error["loc"]) if isinstance(each, str))
    if error["type"] == "missing":
        return FieldError(parameter, f"Add this parameter to the {error['loc'][0]}: it is required.")
    given = str(error["input"])[:MAX_GIVEN_CHARACTERS]
    if error["type"] == "extra_forbidden":
        return FieldError(parameter, "Take it out or correct its name: there is no such parameter.", given)
    if error["type"] == "string_pattern_mismatch":
        return FieldError(parameter, PATTERN_ADVICE.get(error["ctx"]["pattern"], f"{error['msg']}."), given)
    return FieldError(parameter, f"{error['msg']}.", given)


def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    root, path = request.scope.get("root_path", ""), route_path(request.scope)
    headers = dict(error.headers or {})
    what = f"{error.detail}."
    if status is HTTPStatus.NOT_FOUND:
        meant = path_suggestions.nearest(_endpoints(request.app), path)
        what = "there is no such path." if meant is None else f"did you mean {root}{meant}?"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        methods = path_suggestions.allowed_methods(_endpoints(request.app), path)
        headers["Allow"] = ", ".join(methods)
        what = f"use {' or '.join(methods)}."
    detail = f"{request.method} {path_suggestions.shown(root + path)}: {what} The endpoints are listed at {root}/docs."
    return _response(_problem(status.phrase.replace(" ", ""), status.phrase, status.value, detail), headers)


def _endpoints(app: FastAPI) -> list[path_suggestions.Endpoint]:
    """Of a complete application, read once."""
    if not hasattr(app.state, "endpoints"):
        app.state.endpoints = path_suggestions.endpoints_of(app)
    found: list[path_suggestions.Endpoint] = app.state.endpoints
    return found


def _answer_nobody(request: Request, _error: Exception) -> Response:
    log.info("%s %s: the client went away before its request was complete", request.method, request.url.path)
    return Response(status_code=400)


def _answer_surprise(request: Request, error: Exception) -> Response:
    # Starlette raises it on, and the server logs where it came from.
    log.error("%s %s: %s", request.method, request.url.path, error)
    detail = "This is a defect of the gateway; its log has the details."
    return _response(_problem("Internal", "The gateway failed", 500, detail), headers_of_request())


def schemas() -> dict[str, Any]:
    """The shape of errors, for the OpenAPI description."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}
