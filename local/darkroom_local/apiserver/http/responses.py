"""Objects as HTTP answers: one, many, a stream of changes; as they are or as tables. Pure; called by `routes.py`."""

import contextlib
from collections.abc import AsyncIterator

from starlette.responses import JSONResponse, Response

from darkroom_local.apiserver.apimachinery.unstructured import Json, encode
from darkroom_local.apiserver.http import tables
from darkroom_local.apiserver.http.requests import ResponseFormat
from darkroom_local.apiserver.registry.resource_api import RequestTarget, WriteResult
from darkroom_local.apiserver.resources.registry import Resource
from darkroom_local.apiserver.storage.watch import Change


def one(shape: ResponseFormat, resource: Resource, written: WriteResult) -> Response:
    """An object, with what the server warns of in headers (RFC 9110 has dropped them, Kubernetes has not)."""
    document = written.document
    if shape.as_table:
        metadata = {"resourceVersion": document["metadata"].get("resourceVersion", "")}
        document = tables.table([document], resource, metadata, shape.include)
    response = JSONResponse(document, status_code=201 if written.created else 200)
    for warning in written.warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{quoted}"')
    return response


def many(shape: ResponseFormat, resource: Resource, documents: list[Json], metadata: Json) -> Response:
    if shape.as_table:
        return JSONResponse(tables.table(documents, resource, metadata, shape.include))
    listed = {"kind": resource.list_kind, "apiVersion": resource.group_version, "metadata": metadata}
    return JSONResponse({**listed, "items": documents})


async def lines(shape: ResponseFormat, resource: Resource, changes: AsyncIterator[Change]) -> AsyncIterator[str]:
    """The body of a watch."""
    async with contextlib.aclosing(changes) as stream:  # type: ignore[type-var]
        async for change in stream:
            document = change.document
            if change.kind == "BOOKMARK":
                document = {"kind": resource.kind, "apiVersion": resource.group_version, **document}
            elif change.kind != "ERROR" and shape.as_table:
                version = {"resourceVersion": document["metadata"]["resourceVersion"]}
                document = tables.table([document], resource, version, shape.include)
            yield encode({"type": change.kind, "object": document}) + "\n"


def success(target: RequestTarget | None = None, document: Json | None = None) -> Json:
    """A `Status` that says that it is done, and to which object."""
    status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if target and document:
        status["details"] = {
            "name": target.name,
            "group": target.resource.group,
            "kind": target.resource.plural,
            "uid": document["metadata"]["uid"],
        }
    return status
