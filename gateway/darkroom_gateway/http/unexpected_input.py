"""Rejects input that an endpoint would ignore: unknown and repeated parameters, and unread bodies.

A dependency of all routers except the probes', so that new endpoints are strict too. The errors are validation errors
(http/problems.py), and are never logged: the input may be a secret.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from darkroom_contract.similar_names import similar_name
from darkroom_gateway.http.problems import MAX_FIELD_ERRORS

Error = dict[str, Any]
"""In the format of pydantic's errors."""
MAX_PARAMETERS = 250
"""In one query string: twice as many as any endpoint has. A query string has space for 20,000."""


async def reject_unexpected_input(request: Request) -> None:
    """Raises `RequestValidationError` with an error for each ignored parameter, and for an ignored body. Then the
    errors of the other parameters are in it too, which FastAPI would find later."""
    route = request.scope["route"]
    if (given := len(request.query_params.multi_items())) > MAX_PARAMETERS:
        raise RequestValidationError([_too_many(given)])
    errors = [*_unknown_names(request, route.dependant), *_repeated_names(request, route.dependant)]
    if not _reads_body(route) and await has_body(request):
        errors.append(_unread_body(request))
    if errors:
        places = {error["loc"] for error in errors}
        others = (error for error in _invalid_values(request, route.dependant) if tuple(error["loc"]) not in places)
        raise RequestValidationError([*errors, *others])


def _unknown_names(request: Request, dependant: Dependant) -> Iterator[Error]:
    known = dict(_query_fields(dependant))
    unknown = (name for name in request.query_params if name not in known)
    for number, name in enumerate(unknown):
        error = {"type": "extra_forbidden", "loc": ("query", name), "input": request.query_params[name]}
        # Only the first errors are in the response.
        yield {**error, "ctx": _advice(request, name, known) if number < MAX_FIELD_ERRORS else {}}


def _advice(request: Request, name: str, known: Mapping[str, Any]) -> dict[str, str]:
    """An endpoint beside this one that has the parameter, or the most similar name; empty without either."""
    if (sibling := _sibling_with(request, name)) is not None:
        return {"elsewhere": sibling}
    similar = similar_name(name, known)
    return {} if similar is None else {"similar": similar}


def _sibling_with(request: Request, name: str) -> str | None:
    """The path of an endpoint with this method and parameter, in the folder of this one, such as `/generate/`."""
    folder = request.scope["route"].path.rpartition("/")[0]
    for context in iter_route_contexts(request.app.routes) if folder else ():
        route, path = context.original_route, context.path or ""
        is_sibling = path.rpartition("/")[0] == folder and request.method in (context.methods or ())
        if is_sibling and isinstance(route, APIRoute) and name in dict(_query_fields(route.dependant)):
            return path
    return None


def _invalid_values(request: Request, dependant: Dependant) -> Iterator[Error]:
    _, errors = request_params_to_args(dependant.query_params, request.query_params)
    yield from errors
    for each in dependant.dependencies:
        yield from _invalid_values(request, each)


def _repeated_names(request: Request, dependant: Dependant) -> Iterator[Error]:
    """Unless a parameter is a list, all but one of several values would be lost."""
    lists = {name for name, annotation in _query_fields(dependant) if get_origin(annotation) in (list, tuple)}
    for name in request.query_params:
        if name not in lists:
            yield from _repeated("query", name, request.query_params.getlist(name))
    for name in _header_names(dependant):
        yield from _repeated("header", name, request.headers.getlist(name))


def _repeated(place: str, name: str, values: list[str]) -> Iterator[Error]:
    if len(values) > 1:
        message = f"Send it once: it was sent {len(values)} times"
        yield {"type": "repeated", "loc": (place, name), "msg": message, "input": ", ".join(values)}


def _too_many(given: int) -> Error:
    message = f"Send at most {MAX_PARAMETERS} parameters: the query string has {given}"
    return {"type": "too_many", "loc": ("query", "query"), "msg": message, "input": f"{given} parameters"}


def _query_fields(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    """Query parameters of an endpoint and its dependencies, with their types. The fields of a model are parameters."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from ((name, each.annotation) for name, each in annotation.model_fields.items())
        else:
            yield field.alias, annotation
    for each in dependant.dependencies:
        yield from _query_fields(each)


def _header_names(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.header_params)
    for each in dependant.dependencies:
        yield from _header_names(each)


def _reads_body(route: APIRoute) -> bool:
    return route.body_field is not None or "requestBody" in (route.openapi_extra or {})


async def has_body(request: Request) -> bool:
    """Whether the body has content. Reads only its first block, and nothing if its length is announced."""
    if "transfer-encoding" not in request.headers:
        return int(request.headers.get("content-length", "0")) > 0
    async for block in request.stream():
        if block:
            return True
    return False


def _unread_body(request: Request) -> Error:
    message = (
        f"Remove the body, and put parameters into the query string (?name=value): {request.method} "
        f"{request.url.path} accepts no body"
    )
    kind = request.headers.get("content-type", "no Content-Type")
    return {"type": "unread_body", "loc": ("body", "body"), "msg": message, "input": kind}
