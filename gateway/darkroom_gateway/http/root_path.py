"""The path prefix under which a proxy publishes the gateway. Middleware, installed by app.py if one is configured.

Some proxies strip the prefix and some don't. The middleware converts both to the form that ASGI defines: `path` begins
with `root_path`. Starlette routes by the rest, and builds redirects and documentation links from the whole. uvicorn's
`root_path` option adds the prefix to every path, even if it already has it.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

OWN_NAMES = frozenset(
    {
        "docs",
        "generate",
        "healthz",
        "images",
        "jobs",
        "models",
        "openapi.json",
        "page",
        "readyz",
        "result",
        "train",
        "v1",
    }
)
"""First segments of the gateway's own paths, with which a prefix must not begin."""

_USABLE = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def read_root_path(text: str | None) -> str:
    """The prefix without a trailing slash; empty when there is none. Raises `ValueError`."""
    prefix = (text or "").rstrip("/")
    if not prefix:
        return ""
    if not _USABLE.fullmatch(prefix):
        raise ValueError(
            f"{text!r} is not a path: use one such as /darkroom, of letters, digits, '.', '_', '~' and '-'."
        )
    first = prefix.split("/")[1]
    if first in OWN_NAMES:
        raise ValueError(f"{text!r} begins with /{first}, which is a path of the gateway: use another prefix.")
    return prefix


def route_path(scope: Scope) -> str:
    """The path of a request without the root path."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class RootPathMiddleware:
    """Sets `root_path` in the scope, and adds the prefix to paths without it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            root, path = self._root_path, scope["path"]
            raw_path = scope.get("raw_path") or path.encode()
            if path == root:
                path, raw_path = path + "/", raw_path + b"/"
            elif not path.startswith(root + "/"):
                path, raw_path = root + path, root.encode() + raw_path
            scope = {**scope, "root_path": root, "path": path, "raw_path": raw_path}
        await self._app(scope, receive, send)
