"""The embedded S3 server: `python -m darkroom_local.s3 --data-dir DIR --port N`.

Started by cluster.py. nanio does the work: it keeps objects as plain files and checks signatures and expiry. Listings
and byte ranges are ours (listing.py, ranges.py). Some of S3 nanio gets wrong without saying so; `Guard` answers
501 to those requests, so that nobody builds on them.
Credentials come in `NANIO_ACCESS_KEY` and `NANIO_SECRET_KEY`: a command line can be read by every user of the machine.
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

HEALTH_PATH = "/.health"
"""No bucket can have this name: names begin with a letter or a digit."""

RESPONSE_OVERRIDES = {
    f"response-{header}": header
    for header in (
        *("content-disposition", "content-type", "content-encoding"),
        *("content-language", "cache-control", "expires"),
    )
}
"""Parameters of a signed link by which it sets headers of its answer."""

SERVED_QUERIES = frozenset(
    {
        *("list-type", "prefix", "delimiter", "encoding-type", "start-after"),
        *("continuation-token", "max-keys", "marker"),
        *("location", "uploads", "uploadId", "partNumber", "delete", "fetch-owner", "x-id"),
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"),
        *("X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256"),
        *RESPONSE_OVERRIDES,
    }
)
"""Every other parameter names a feature that nanio ignores, and then treats the request as a plain read or write of the
object: PutObjectTagging and PutObjectAcl overwrite it."""

IGNORED_HEADERS = (
    *("x-amz-tagging", "x-amz-acl", "x-amz-server-side-encryption", "x-amz-object-lock-mode"),
    *("x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match", "x-amz-copy-source-range"),
)
"""Headers that change what a request means and that nanio ignores."""

CONDITIONS = ("if-none-match", "if-match", "if-modified-since", "if-unmodified-since")
"""Refused for writes. A read may be answered in full, but for If-Match, which `Guard` checks itself."""


class Guard:
    """Before nanio: refuses what it would answer wrongly. After it: If-Match and the headers that a link asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        query, headers = QueryParams(scope["query_string"]), Headers(scope=scope)
        response = _answer(scope["method"], scope["path"], query, headers)
        if response is None:
            await self._app(scope, receive, _Amended(send, query, headers.get("if-match")))
        else:
            await response(scope, receive, send)


class _Amended:
    """Sends nanio's answer on, with the headers that a signed link asks for, or 412 when If-Match does not hold."""

    def __init__(self, send: Send, query: QueryParams, if_match: str | None) -> None:
        self._send = send
        self._query = query
        self._if_match = if_match
        self._replaced = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] < 300:
            headers = MutableHeaders(raw=message["headers"])
            if self._if_match not in (None, "*", headers.get("etag")):
                await self._refuse()
            for parameter, header in RESPONSE_OVERRIDES.items():
                if parameter in self._query:
                    headers[header] = self._query[parameter]
        if not self._replaced:
            await self._send(message)

    async def _refuse(self) -> None:
        self._replaced = True
        await self._send({"type": "http.response.start", "status": 412, "headers": [(b"content-length", b"0")]})
        await self._send({"type": "http.response.body", "body": b""})


def _answer(method: str, path: str, query: QueryParams, headers: Headers) -> Response | None:
    if path == HEALTH_PATH:
        return PlainTextResponse("ok")
    unusable = next((name for name in RESPONSE_OVERRIDES if not _fits_a_header(query.get(name, ""))), None)
    if unusable is not None:
        return _refusal(400, "InvalidArgument", f"{unusable} holds what no header can.")
    feature = unserved_feature(method, query, headers)
    if feature is not None:
        return _refusal(501, "NotImplemented", f"The embedded S3 server does not serve {feature}.")
    return None


def _refusal(status: int, code: str, message: str) -> Response:
    """The connection is closed, as the body of the request was not read."""
    return error_response(status, code, message, {"Connection": "close"})


def _fits_a_header(value: str) -> bool:
    return all(" " <= each <= "\xff" and each != "\x7f" for each in value)


def unserved_feature(method: str, query: QueryParams, headers: Headers) -> str | None:
    """The part of a request that this server gets wrong, or None when it serves the request rightly."""
    for name in query:
        if name not in SERVED_QUERIES:
            return f"the query parameter {name}"
    writes = method not in ("GET", "HEAD")
    for name in IGNORED_HEADERS + (CONDITIONS if writes else ()):
        if name in headers:
            return f"the header {name}"
    asked_range = headers.get("range", "")
    if "," in asked_range:
        return f"the range {asked_range}"
    if method == "POST" and not {"delete", "uploads", "uploadId"} & set(query):
        return "uploads by POST policy"
    return None


def make_app(data_dir: Path, port: int) -> ASGIApp:
    """The server: the guard, then nanio's signatures, then our routes and nanio's."""
    app: Starlette = build_app(Settings(data_dir=data_dir, host="127.0.0.1", port=port))
    app.router.routes[:0] = [*listing.routes(), *ranges.routes()]
    return Guard(app)


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
