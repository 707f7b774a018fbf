"""Byte ranges of the embedded S3 server, by RFC 9110 and S3. Routes behind nanio's signature check; see server.py.

nanio answers 400 to a range that ends after the object, and to a suffix range (`bytes=-5`).
"""

import re

from nanio.handlers.object import dispatch_object
from nanio.storage.filesystem import FilesystemStorage
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from darkroom_local.s3.errors import error_response

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)")


def routes() -> list[Route]:
    """Routes that take precedence over nanio's."""
    return [Route("/{bucket}/{key:path}", _get, methods=["GET"])]


async def _get(request: Request) -> Response:
    header = request.headers.get("range")
    if header is None or "uploadId" in request.query_params:
        return await _read(request)
    storage: FilesystemStorage = request.app.state.storage
    info = storage.head_object(request.path_params["bucket"], request.path_params["key"])
    condition = request.headers.get("if-range")
    span = None if condition not in (None, info.etag) else satisfiable_range(header, info.size)
    if span is not None and not span:
        headers = {"Content-Range": f"bytes */{info.size}"}
        return error_response(416, "InvalidRange", "The requested range is not satisfiable", headers)
    return await _read(_with_range(request, span))


async def _read(request: Request) -> Response:
    answer: Response = await dispatch_object(request)
    return answer


def satisfiable_range(header: str, size: int) -> range | None:
    """The bytes of an object of `size` bytes that a Range header selects.

    Empty when it is not satisfiable (416); None when it is malformed, and therefore ignored.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return range(max(0, size - int(match[2])), size)
    first, last = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    return range(first, min(last + 1, size))


def _with_range(request: Request, span: range | None) -> Request:
    """The request with a range that nanio supports, or without a range."""
    headers = MutableHeaders(raw=Headers(scope=request.scope).mutablecopy().raw)
    del headers["range"]
    if span is not None:
        headers["range"] = f"bytes={span.start}-{span.stop - 1}"
    return Request({**request.scope, "headers": headers.raw}, request.receive)
