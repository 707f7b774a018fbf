"""Renders objects as HTTP responses: one object, a list, or a watch stream; as JSON or as tables. Pure."""

import contextlib
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response

from darkroom_local.apiserver.apimachinery.unstructured import Json, encode
from darkroom_local.apiserver.http import tables
from darkroom_local.apiserver.http.requests import ResponseFormat
from darkroom_local.apiserver.registry.request import RequestTarget, WriteResult
from darkroom_local.apiserver.resources.resource import Resource
from darkroom_local.apiserver.storage.watch import Change


def object_response(accepted: ResponseFormat, resource: Resource, result: WriteResult) -> Response:
    """An object, with warnings in `Warning` headers: obsolete in RFC 9110, but Kubernetes uses them."""
    document = result.document
    if accepted.as_table:
        document = _single_row_table(document, resource, accepted.include)
    response = JSONResponse(document, status_code=201 if result.created else 200)
    for warning in result.warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{quoted}"')
    return response


def list_response(accepted: ResponseFormat, resource: Resource, documents: list[Json], metadata: Json) -> Response:
    if accepted.as_table:
        return JSONResponse(tables.table(documents, resource, metadata, accepted.include))
    listed = {"kind": resource.list_kind, "apiVersion": resource.group_version, "metadata": metadata}
    return JSONResponse({**listed, "items": documents})


async def watch_lines(
    accepted: ResponseFormat, resource: Resource, changes: AsyncIterator[Change]
) -> AsyncIterator[str]:
    """The body of a watch response."""
    async with contextlib.aclosing(changes) as stream:  # type: ignore[type-var]
        async for change in stream:
            document = change.document
            if change.kind == "BOOKMARK":
                document = {"kind": resource.kind, "apiVersion": resource.group_version, **document}
            elif change.kind != "ERROR" and accepted.as_table:
                document = _single_row_table(document, resource, accepted.include)
            yield encode({"type": change.kind, "object": document}) + "\n"


def _single_row_table(document: Json, resource: Resource, include: str) -> Json:
    metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
    return tables.table([document], resource, metadata, include)


def success_status(target: RequestTarget | None = None, document: Json | None = None) -> Json:
    """A `Status` that reports success, with the object it applies to."""
    status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if target and document:
        status["details"] = {
            "name": target.name,
            "group": target.resource.group,
            "kind": target.resource.plural,
            "uid": document["metadata"]["uid"],
        }
    return status
