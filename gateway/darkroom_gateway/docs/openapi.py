"""The OpenAPI document: FastAPI's, completed. Built by app.py when it is first requested.

FastAPI generates parameters and success responses. This module adds what would otherwise repeat in every endpoint:
problem details instead of FastAPI's validation errors, error responses that any request may get, response headers, and
the operations that need an API key.
"""

from collections.abc import Container, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from darkroom_gateway.errors import (
    ClusterUnavailableError,
    FieldError,
    GatewayError,
    TooLargeError,
    UnauthorizedError,
    invalid_request,
)
from darkroom_gateway.http import problems
from darkroom_gateway.limits.errors import RateLimitedError
from darkroom_gateway.openai_images.descriptions import describe_errors
from darkroom_gateway.v1.openapi_bodies import SCHEMAS

Json = dict[str, Any]

ANY_OPERATION = (400, 403, 408, 413, 414, 421, 429, 431, 500)
"""Statuses that any operation may return: from the server, from middleware, or after an unexpected error."""

FASTAPI_ERROR_SCHEMAS = ("HTTPValidationError", "ValidationError")

EXAMPLES: dict[int, GatewayError] = {
    401: UnauthorizedError(
        "This gateway requires an API key. Send your key in a header: 'Authorization: Bearer <key>'."
    ),
    413: TooLargeError("Send at most 501 MiB in one request. Use fewer or smaller files."),
    422: invalid_request(
        [FieldError("phse", "Remove it or correct its name: there is no such parameter.", given="Failed")]
    ),
    429: RateLimitedError(
        "This client has sent more than 600 requests a minute. Wait 1 s, and follow jobs by their event streams "
        "instead of polling.",
        retry_after_seconds=1,
    ),
    503: ClusterUnavailableError("The cluster did not list trainjobs: it can't be reached. Try again shortly."),
}
"""Examples for statuses with the same meaning in all operations."""

SECURITY_SCHEME = "ApiKey"


def operation_id(route: APIRoute) -> str:
    """The name of the endpoint's function, such as `list_jobs`. Generated clients use it as the method name."""
    return route.name


def document_of(app: FastAPI, open_paths: Container[str] | None) -> Json:
    """The OpenAPI document of a complete application. `open_paths` need no API key; None when no path needs one.

    FastAPI caches the document that is modified here.
    """
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document["components"]["schemas"]
        for name in FASTAPI_ERROR_SCHEMAS:
            schemas.pop(name, None)
        schemas.update(problems.schemas())
        for name, schema in SCHEMAS.items():
            schemas.setdefault(name, schema)
        for operation in _operations(document):
            _describe(operation)
        if open_paths is not None:
            _describe_security(document, open_paths)
        for operation in _operations(document):
            for status, response in operation["responses"].items():
                _describe_headers(int(status), response)
                _show_example(int(status), response)
        describe_errors(document)
    return FastAPI.openapi(app)


def _operations(document: Json) -> Iterator[Json]:
    for operations in document["paths"].values():
        yield from operations.values()


def _describe(operation: Json) -> None:
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(parameter["schema"])
    for status, response in problems.responses(*ANY_OPERATION).items():
        operation["responses"].setdefault(str(status), response)


def _describe_security(document: Json, open_paths: Container[str]) -> None:
    """Mark the operations that need a key. /docs shows its Authorize button because of this."""
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes[SECURITY_SCHEME] = {"type": "http", "scheme": "bearer", "description": "An API key of this gateway."}
    document["security"] = [{SECURITY_SCHEME: []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in open_paths:
                operation["security"] = []
            else:
                unauthorized = problems.responses(401).items()
                operation["responses"].update({str(status): each for status, each in unauthorized})


def _without_null(schema: Json) -> Json:
    """The schema of an optional parameter without null, which no query and no header can contain."""
    choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(choices) != 1:
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **choices[0]}


def _describe_headers(status: int, response: Json) -> None:
    headers = response.setdefault("headers", {})
    headers["X-Request-ID"] = _header(
        "Identifies the request in the gateway's log. Repeats the id that the request sent, if any."
    )
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = _header("The authentication scheme: Bearer.")
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = _header("Seconds to wait before the next try.", "integer")


def _header(description: str, type_: str = "string") -> Json:
    return {"description": description, "required": True, "schema": {"type": type_}}


def _show_example(status: int, response: Json) -> None:
    if error := EXAMPLES.get(status):
        for content in response["content"].values():
            content.setdefault("example", problems.problem_of(error).model_dump(exclude_none=True))
