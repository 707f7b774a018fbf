"""The OpenAPI description: FastAPI's own, completed by what it can't know. Built by app.py on the first request for it.

FastAPI knows parameters and successes. Added here, so that no endpoint repeats it: our problems in place of its
validation errors, the answers that any request may get, the headers of answers, and which operations need a key.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from darkroom_gateway.auth import middleware as auth
from darkroom_gateway.errors import (
    ClusterUnavailableError,
    FieldError,
    GatewayError,
    TooLargeError,
    UnauthorizedError,
    invalid_request,
)
from darkroom_gateway.http import problems

Json = dict[str, Any]

ANY_OPERATION = (400, 403, 408, 413, 414, 421, 431, 500)
"""The problems that every operation may answer: the server, middleware and failures know no endpoints."""

ASSUMED_SCHEMAS = ("HTTPValidationError", "ValidationError")

EXAMPLES: dict[int, GatewayError] = {
    401: UnauthorizedError(
        "This gateway answers to API keys only. Send your key in a header: 'Authorization: Bearer <key>'."
    ),
    413: TooLargeError("Send at most 501 MiB in one request. Use fewer or smaller photos."),
    422: invalid_request(
        [FieldError("phse", "Take it out or correct its name: there is no such parameter.", given="Failed")]
    ),
    503: ClusterUnavailableError("The cluster did not list trainjobs: it can't be reached. Try again shortly."),
}
"""Of problems that mean the same wherever they are answered."""


def operation_id(route: APIRoute) -> str:
    """The endpoint's name, such as `list_jobs`: generated clients name their methods by it."""
    return route.name


def description(app: FastAPI, *, guarded: bool) -> Json:
    """The description of a complete application. FastAPI keeps the document that is changed here."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for assumed in ASSUMED_SCHEMAS:
            schemas.pop(assumed, None)
        schemas.update(problems.schemas())
        for operation in _operations(document):
            _describe(operation)
        if guarded:
            auth.describe(document)
        for operation in _operations(document):
            for status, response in operation["responses"].items():
                _describe_headers(int(status), response)
                _show_example(int(status), response)
    return FastAPI.openapi(app)


def _operations(document: Json) -> Iterator[Json]:
    for operations in document["paths"].values():
        yield from operations.values()


def _describe(operation: Json) -> None:
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    for status, response in problems.responses(*ANY_OPERATION).items():
        operation["responses"].setdefault(str(status), response)


def _without_null(schema: Json) -> Json:
    """The schema of an optional parameter: it may be left out, but no query and no header can hold a null."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **choices[0]}


def _describe_headers(status: int, response: Json) -> None:
    headers = response.setdefault("headers", {})
    headers["X-Request-ID"] = _header("Names this request in the gateway's log; repeats the request's own, if any.")
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header("The scheme: Bearer.")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _header("Seconds until the next try.", "integer")


def _header(description: str, type_: str = "string") -> Json:
    return {"description": description, "required": True, "schema": {"type": type_}}


def _show_example(status: int, response: Json) -> None:
    if error := EXAMPLES.get(status):
        for content in response["content"].values():
            content.setdefault("example", problems.problem_of(error).model_dump(exclude_none=True))
