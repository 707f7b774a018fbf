"""Who may ask: every request but a few needs an API key. Middleware, installed by app.py when there are keys.

It is the one place that decides, outside of every router, so that an endpoint that is added is guarded too. It answers
before anything of a body is read. Endpoints learn from it whose key it was; that everybody with a key may do everything
is decided in docs/decisions/0009-access-by-keys.md.
"""

import logging
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom_gateway.api_keys import ApiKeys
from darkroom_gateway.body_limit import refuse_unread
from darkroom_gateway.endpoints import docs
from darkroom_gateway.errors import UnauthorizedError
from darkroom_gateway.problems import responses
from darkroom_gateway.root_path import route_path

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/openapi.json"}) | docs.PATHS
"""Probes, and the description of the API, to which the root leads. They hold no secret and change nothing."""

SCHEME = "ApiKey"
"""The name of our scheme in the OpenAPI description."""

_KEY_LIKE_PARAMETERS = frozenset({"access_token", "api_key", "apikey", "key", "token"})

_HOW = "Send your key in a header: 'Authorization: Bearer <key>'."


class Guard:
    """Answers 401 to whoever sends no key, or one that is nobody's."""

    def __init__(self, app: ASGIApp, keys: ApiKeys, count_refusal: Callable[[], None]) -> None:
        self._app = app
        self._keys = keys
        self._count_refusal = count_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and route_path(scope) not in OPEN_PATHS:
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
                "The key that was sent is none of this gateway's. Keys can be changed and taken back: "
                "whoever runs the gateway can give you a new one."
            )
        return name


def _advice(scope: Scope, given: list[bytes]) -> str:
    """What to do, for whoever sent nothing that looks like a key. What was sent is not repeated."""
    query = scope.get("query_string", b"").decode("latin-1")
    if not given and any(name.lower() in _KEY_LIKE_PARAMETERS for name, _ in parse_qsl(query, keep_blank_values=True)):
        return f"A key in the address is not looked at: addresses end up in logs. {_HOW} Have that key changed."
    if len(given) > 1:
        return f"The request has {len(given)} Authorization headers: send one. {_HOW}"
    if given:
        return f"The Authorization header is of another scheme than Bearer. {_HOW}"
    return f"This gateway answers to API keys only. {_HOW}"


async def _key_name_of(request: Request) -> str | None:
    name: str | None = getattr(request.state, "key_name", None)
    return name


KeyName = Annotated[str | None, Depends(_key_name_of)]
"""The name of the key that a request came with; None where none is needed."""


def describe(document: dict[str, Any]) -> None:
    """Write into an OpenAPI description what is guarded, and how; /docs gets its Authorize button from that."""
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes[SCHEME] = {"type": "http", "scheme": "bearer", "description": "An API key of this gateway."}
    document["security"] = [{SCHEME: []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            else:
                operation["responses"].update({str(status): each for status, each in responses(401).items()})
