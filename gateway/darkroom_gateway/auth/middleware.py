"""API key authentication. Middleware, installed by app.py when there are keys.

It runs before routing, so every endpoint needs a key unless its path is open, and it responds before the body is read.
Endpoints get the key's name from `KeyName`. Every key may do everything: docs/decisions/0009-api-keys.md.
"""

import logging
from collections.abc import Callable, Container
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_gateway.auth.api_keys import ApiKeys
from darkroom_gateway.errors import UnauthorizedError
from darkroom_gateway.http.body_limit import refuse_unread
from darkroom_gateway.http.root_path import route_path

log = logging.getLogger(__name__)

_KEY_LIKE_PARAMETERS = frozenset({"access_token", "api_key", "apikey", "key", "token"})

_HOW = "Send your key in a header: 'Authorization: Bearer <key>'."


class ApiKeyMiddleware:
    """Responds 401 to requests without a valid key."""

    def __init__(
        self, app: ASGIApp, keys: ApiKeys, open_paths: Container[str], count_refusal: Callable[[], None]
    ) -> None:
        """`open_paths` need no key. `count_refusal` is called for each 401."""
        self._app = app
        self._keys = keys
        self._open_paths = open_paths
        self._count_refusal = count_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and route_path(scope) not in self._open_paths:
            try:
                scope.setdefault("state", {})["key_name"] = self._key_name(scope)
            except UnauthorizedError as error:
                self._count_refusal()
                log.info("%s: %s", scope["path"], error)
                await refuse_unread(error, scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _key_name(self, scope: Scope) -> str:
        """Raises `UnauthorizedError`."""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, key = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer":
            raise UnauthorizedError(_advice(scope, given))
        name = self._keys.name_of(key.strip())
        if name is None:
            raise UnauthorizedError(
                "The API key is not valid for this gateway. It may have been changed or revoked: ask the operator of "
                "the gateway for a new one."
            )
        return name


def _advice(scope: Scope, given: list[bytes]) -> str:
    """What to do about a missing or malformed key. Never repeats what was sent."""
    query = scope.get("query_string", b"").decode("latin-1")
    if not given and any(name.lower() in _KEY_LIKE_PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
        return f"Keys in the URL are ignored, because URLs end up in logs. {_HOW} Replace that key: it was exposed."
    if len(given) > 1:
        return f"The request has {len(given)} Authorization headers: send one. {_HOW}"
    if given:
        return f"The Authorization header does not use the Bearer scheme. {_HOW}"
    return f"This gateway requires an API key. {_HOW}"


async def _key_name_of(request: Request) -> str | None:
    name: str | None = getattr(request.state, "key_name", None)
    return name


KeyName = Annotated[str | None, Depends(_key_name_of)]
"""Name of the API key of the request; None when the gateway needs none."""
