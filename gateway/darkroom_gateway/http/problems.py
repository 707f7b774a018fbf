"""Error responses as problem details (RFC 9457). Exception handlers, installed by app.py."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from darkroom_contract.schema import printable
from darkroom_gateway.errors import FieldError, GatewayError, invalid_request
from darkroom_gateway.http import path_suggestions
from darkroom_gateway.http.request_log import headers_of_request
from darkroom_gateway.http.root_path import route_path
from darkroom_gateway.http.security_headers import SAFE

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_GIVEN_CHARACTERS = 200
MAX_FIELD_ERRORS = 20
"""In one response: a body may have thousands. The text of a longer list says how many there were."""

TASK_ID, ID = "task_id", "id"
"""The id of a job in the paths of the older endpoints, and in those of `/v1`."""

TYPE_PREFIX = "tag:darkroom.dev,2026:"
"""A tag URI (RFC 4151): it identifies a type of problem and does not resolve."""


class ProblemError(BaseModel):
    """One problem with the request."""

    parameter: str = Field(description="Name of the parameter or file.")
    message: str = Field(description="What is wrong and what to change.")
    given: str | None = Field(None, description="The value that was sent, cut to 200 characters.")


class Problem(BaseModel):
    """Problem details, RFC 9457."""

    type: str = Field(description="Identifies the type of problem. Stable.", examples=[TYPE_PREFIX + "InvalidRequest"])
    title: str = Field(description="The type of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened, and what to do.")
    errors: list[ProblemError] = Field(
        default_factory=list, description=f"One entry for each thing to change, at most {MAX_FIELD_ERRORS}."
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for these error statuses."""
    return {each: {"description": HTTPStatus(each).phrase, "content": _content()} for each in statuses}


def _content() -> dict[str, Any]:
    """A new one for each status: the OpenAPI document has an example for some of them."""
    return {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def install(app: FastAPI, pattern_advice: Mapping[str, str]) -> None:
    """`pattern_advice` replaces pydantic's message for values that do not match these patterns."""
    app.add_exception_handler(GatewayError, _handle_gateway_error)
    app.add_exception_handler(RequestValidationError, partial(_handle_validation_error, pattern_advice))
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(ClientDisconnect, _handle_client_disconnect)
    app.add_exception_handler(Exception, _handle_unexpected_error)


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
    listed = field_errors[:MAX_FIELD_ERRORS]
    errors = [ProblemError(parameter=each.parameter, message=each.message, given=each.given) for each in listed]
    if len(field_errors) > len(listed):
        detail = f"{detail} There are {len(field_errors)} faults in all; the first {len(listed)} are listed."
    return Problem(type=TYPE_PREFIX + kind, title=title, status=status, detail=detail, errors=errors)


def _response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers={**SAFE, **(headers or {})})


def _handle_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    level = logging.ERROR if error.status >= 500 else logging.INFO
    log.log(level, "%s %s: %s", request.method, request.url.path, error)
    if ID in request.path_params:
        # Both forms of the API call the same services, and name the job differently.
        error.field_errors = tuple(
            replace(each, parameter=ID) if each.parameter == TASK_ID else each for each in error.field_errors
        )
    return problem_response(error)


def _handle_validation_error(pattern_advice: Mapping[str, str], _request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(invalid_request(_field_error(each, pattern_advice) for each in error.errors()))


def _field_error(error: Mapping[str, Any], pattern_advice: Mapping[str, str]) -> FieldError:
    # For a list parameter, the last element of `loc` is the index of the value.
    parameter = printable(next(each for each in reversed(error["loc"]) if isinstance(each, str))[:MAX_GIVEN_CHARACTERS])
    if error["type"] == "missing":
        return FieldError(parameter, f"Add this parameter to the {error['loc'][0]}: it is required.")
    # JSON may escape a lone surrogate, which no response can contain.
    given = printable(str(error["input"])[:MAX_GIVEN_CHARACTERS])
    if error["type"] == "extra_forbidden":
        return FieldError(parameter, _unknown_parameter(**error.get("ctx", {})), given)
    message = printable(f"{error['msg']}.")
    if error["type"] == "string_pattern_mismatch":
        return FieldError(parameter, pattern_advice.get(error["ctx"]["pattern"], message), given)
    return FieldError(parameter, message, given)


def _unknown_parameter(similar: str | None = None, elsewhere: str | None = None) -> str:
    if elsewhere is not None:
        return f"Remove it, or use {elsewhere}, which takes it: there is no such parameter here."
    advice = "Remove it or correct its name: there is no such parameter."
    return advice if similar is None else f"{advice} Did you mean {similar}?"


def _handle_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    root, path = request.scope.get("root_path", ""), route_path(request.scope)
    headers = dict(error.headers or {})
    what = f"{error.detail}."
    if status is HTTPStatus.NOT_FOUND:
        meant = path_suggestions.suggest(_endpoints(request.app), path)
        what = "no endpoint has this path." if meant is None else f"did you mean {root}{meant}?"
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        methods = path_suggestions.allowed_methods(_endpoints(request.app), path)
        headers["Allow"] = ", ".join(methods)
        what = f"use {' or '.join(methods)}."
    detail = f"{request.method} {path_suggestions.shown(root + path)}: {what} The endpoints are listed at {root}/docs."
    return _response(_problem(status.phrase.replace(" ", ""), status.phrase, status.value, detail), headers)


def _endpoints(app: FastAPI) -> list[path_suggestions.Endpoint]:
    """The endpoints of a complete application, cached on its state."""
    if not hasattr(app.state, "endpoints"):
        app.state.endpoints = path_suggestions.endpoints_of(app)
    found: list[path_suggestions.Endpoint] = app.state.endpoints
    return found


def _handle_client_disconnect(request: Request, _error: Exception) -> Response:
    log.info("%s %s: the client disconnected before it had the response", request.method, request.url.path)
    return Response(status_code=400)


def _handle_unexpected_error(request: Request, error: Exception) -> Response:
    # Starlette re-raises it, and the server logs its traceback.
    log.error("%s %s: %s", request.method, request.url.path, error)
    detail = "This is a bug in the gateway. Its log has the details."
    return _response(_problem("Internal", "The gateway failed", 500, detail), headers_of_request())


def schemas() -> dict[str, Any]:
    """The OpenAPI schemas of problem details."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}
