"""Who asked the API server for what, and what was answered: a calm proxy that writes it down."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from support.fault_proxy import FaultProxy
from support.recording_api import Access, access_of


@dataclass
class Entry:
    """One request."""

    user: str
    method: str
    target: str
    status: int | None = None
    """None: a watch that goes on, or whose client has left."""

    @property
    def access(self) -> Access | None:
        """None: it is about no object of a namespace, but asks which kinds there are."""
        return access_of(self.method, self.target) if "/namespaces/" in self.target else None


class AccessLog(FaultProxy):
    """In the place of the API server, from `with` to its end."""

    def __init__(self, server_url: str) -> None:
        super().__init__(server_url, seed=0, request_rate=0)
        self.entries: list[Entry] = []

    async def _forward(self, request: web.Request, *rest: Any) -> web.StreamResponse:
        token, target = _token_and_target(request)
        entry = Entry(_user(token), request.method, target)
        self.entries.append(entry)
        response = await super()._forward(request, *rest)
        entry.status = response.status
        return response

    def of(self, user: str) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.user == user)


def _token_and_target(request: web.Request) -> tuple[str, str]:
    """A token is the first part of the path, for clients that send none in a header where there is no TLS."""
    target = request.rel_url.raw_path_qs
    first, _, rest = target.lstrip("/").partition("/")
    if first.count(".") == 2:
        return first, f"/{rest}"
    return request.headers.get("Authorization", "").removeprefix("Bearer "), target


def _user(token: str) -> str:
    """The subject of a ServiceAccount's token; nobody's for others."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    subject: str = claims["sub"]
    return subject
