"""The embedded S3 server, started by `python -m darkroom_local.s3`.

nanio stores objects as plain files and checks signatures and their expiry. Listings and byte ranges are ours
(listing.py, ranges.py). nanio silently ignores some S3 features; `UnsupportedFeatureFilter` answers 501 to requests
that use them. Credentials come from `NANIO_ACCESS_KEY` and `NANIO_SECRET_KEY`: every user of the machine can read a
command line.
"""

import argparse
import logging
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from nanio.app import build_app
from nanio.config import Settings
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_contract.log_lines import set_up_log
from darkroom_local.s3 import listing, ranges
from darkroom_local.s3.errors import error_response
from darkroom_local.s3.object_files import ObjectFiles

HEALTH_PATH = "/.health"
"""Not a valid bucket name, which starts with a letter or a digit."""

RESPONSE_OVERRIDES = {
    f"response-{header}": header
    for header in (
        *("content-disposition", "content-type", "content-encoding"),
        *("content-language", "cache-control", "expires"),
    )
}
"""Query parameters of a signed link that set headers of the response."""

SUPPORTED_PARAMETERS = frozenset(
    {
        *("list-type", "prefix", "delimiter", "encoding-type", "start-after"),
        *("continuation-token", "max-keys", "marker"),
        *("location", "uploads", "uploadId", "partNumber", "delete", "fetch-owner", "x-id"),
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"),
        *("X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256"),
        *RESPONSE_OVERRIDES,
    }
)
"""nanio ignores all others, and treats the request as a plain read or write: PutObjectTagging and PutObjectAcl
overwrite the object."""

UNSUPPORTED_HEADERS = (
    *("x-amz-tagging", "x-amz-acl", "x-amz-server-side-encryption", "x-amz-object-lock-mode"),
    *("x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match", "x-amz-copy-source-range"),
)
"""Headers that change the meaning of a request, and that nanio ignores."""

CONDITIONAL_HEADERS = ("if-none-match", "if-match", "if-modified-since", "if-unmodified-since")
"""Rejected for writes. A read may ignore them, except If-Match, which `UnsupportedFeatureFilter` checks itself."""


class UnsupportedFeatureFilter:
    """ASGI middleware: rejects what nanio gets wrong, checks If-Match, applies the `response-*` parameters."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query, headers = QueryParams(scope["query_string"]), Headers(scope=scope)
        response = _own_response(scope["method"], scope["path"], query, headers)
        if response is None:
            await self._app(scope, receive, _ResponseRewriter(send, query, headers.get("if-match")))
        else:
            await response(scope, receive, send)


class _ResponseRewriter:
    """Sends nanio's response with the headers that a signed link sets, or 412 when If-Match fails."""

    def __init__(self, send: Send, query: QueryParams, if_match: str | None) -> None:
        self._send = send
        self._query = query
        self._if_match = if_match
        self._replaced = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] < 300:
            headers = MutableHeaders(raw=message["headers"])
            if self._if_match not in (None, "*", headers.get("etag")):
                await self._precondition_failed()
            for parameter, header in RESPONSE_OVERRIDES.items():
                if parameter in self._query:
                    headers[header] = self._query[parameter]
        if not self._replaced:
            await self._send(message)

    async def _precondition_failed(self) -> None:
        self._replaced = True
        await self._send({"type": "http.response.start", "status": 412, "headers": [(b"content-length", b"0")]})
        await self._send({"type": "http.response.body", "body": b""})


def _own_response(method: str, path: str, query: QueryParams, headers: Headers) -> Response | None:
    if path == HEALTH_PATH:
        return PlainTextResponse("ok")
    unusable = next((name for name in RESPONSE_OVERRIDES if not _is_header_value(query.get(name, ""))), None)
    if unusable is not None:
        return _error(400, "InvalidArgument", f"{unusable} has a character that is not allowed in a header.")
    feature = unsupported_feature(method, query, headers)
    if feature is not None:
        return _error(501, "NotImplemented", f"The embedded S3 server does not support {feature}.")
    return None


def _error(status: int, code: str, message: str) -> Response:
    """Closes the connection, since the request body was not read."""
    return error_response(status, code, message, {"Connection": "close"})


def _is_header_value(value: str) -> bool:
    return all(" " <= each <= "\xff" and each != "\x7f" for each in value)


def unsupported_feature(method: str, query: QueryParams, headers: Headers) -> str | None:
    """The part of a request that this server does not support, or None when it supports the request."""
    for name in query:
        if name not in SUPPORTED_PARAMETERS:
            return f"the query parameter {name}"
    writes = method not in ("GET", "HEAD")
    for name in UNSUPPORTED_HEADERS + (CONDITIONAL_HEADERS if writes else ()):
        if name in headers:
            return f"the header {name}"
    requested_range = headers.get("range", "")
    if "," in requested_range:
        return f"the range {requested_range}"
    if method == "POST" and not {"delete", "uploads", "uploadId"} & set(query):
        return "uploads by POST policy"
    return None


def make_app(data_dir: Path, port: int) -> ASGIApp:
    """The feature filter, then nanio's signature check, then our routes, then nanio's."""
    app: Starlette = build_app(Settings(data_dir=data_dir, host="127.0.0.1", port=port))
    app.state.storage = ObjectFiles(data_dir)
    app.router.routes[:0] = [*listing.routes(), *ranges.routes()]
    return UnsupportedFeatureFilter(app)


def main() -> None:
    parser = argparse.ArgumentParser(prog="darkroom_local.s3", description="The S3 server of the local cluster.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    arguments.data_dir.mkdir(parents=True, exist_ok=True)
    app = make_app(arguments.data_dir.resolve(), arguments.port)
    set_up_log("%(asctime)s %(levelname)s %(name)s %(message)s", logging.WARNING)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=arguments.port,
        http="httptools",
        loop="uvloop",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
