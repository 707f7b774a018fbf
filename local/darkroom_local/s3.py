"""The embedded S3 server: `python -m darkroom_local.s3 --data-dir DIR --port N`.

Started by cluster.py. nanio does the work: it keeps objects as plain files and checks signatures and expiry. Some of S3
it gets wrong without saying so; `Guard` answers 501 to those requests, so that nobody builds on them.
Credentials come in `NANIO_ACCESS_KEY` and `NANIO_SECRET_KEY`: a command line can be read by every user of the machine.
"""

import argparse
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import uvicorn
from nanio.app import build_app
from nanio.config import Settings
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

HEALTH_PATH = "/.health"
"""No bucket can have this name: names begin with a letter or a digit."""

SERVED_QUERIES = frozenset(
    {
        *("list-type", "prefix", "delimiter", "encoding-type", "start-after", "continuation-token", "max-keys"),
        *("location", "uploads", "uploadId", "partNumber", "delete", "fetch-owner", "x-id"),
        *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders"),
        *("X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256"),
        *("response-content-disposition", "response-content-type"),
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

RESPONSE_OVERRIDES = {
    "response-content-disposition": "content-disposition",
    "response-content-type": "content-type",
}


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
    feature = unserved_feature(method, path, query, headers)
    return None if feature is None else _not_implemented(feature)


def unserved_feature(method: str, path: str, query: QueryParams, headers: Headers) -> str | None:
    """The part of a request that this server gets wrong, or None when it serves the request rightly."""
    for name in query:
        if name not in SERVED_QUERIES:
            return f"the query parameter {name}"
    writes = method not in ("GET", "HEAD")
    for name in IGNORED_HEADERS + (CONDITIONS if writes else ()):
        if name in headers:
            return f"the header {name}"
    asked_range = headers.get("range", "")
    if asked_range.startswith("bytes=-") or "," in asked_range:
        return f"the range {asked_range}"
    return _unserved_operation(method, path, query)


def _unserved_operation(method: str, path: str, query: QueryParams) -> str | None:
    if method == "POST" and not {"delete", "uploads", "uploadId"} & set(query):
        return "uploads by POST policy"
    of_bucket = path.strip("/").count("/") == 0 and path != "/"
    if method == "GET" and of_bucket and not {"list-type", "location", "uploads"} & set(query):
        return "version 1 of ListObjects"
    return None


def _not_implemented(feature: str) -> Response:
    """S3's own error document. The connection is closed, as the body of the request was not read."""
    text = f"The embedded S3 server does not serve {feature}.".replace("&", "&amp;").replace("<", "&lt;")
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>NotImplemented</Code><Message>{text}</Message></Error>'
    return Response(body, status_code=501, media_type="application/xml", headers={"Connection": "close"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="darkroom_local.s3", description="The S3 server of the local cluster.")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    arguments.data_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(data_dir=arguments.data_dir.resolve(), host="127.0.0.1", port=arguments.port)
    app = Guard(build_app(settings))
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main()
