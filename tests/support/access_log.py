"""A proxy before an API server that logs every request with its user and the status of the answer."""

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
    """None: a watch that is still open, or whose client has closed the connection."""

    @property
    def access(self) -> Access | None:
        """None for discovery requests, which name no namespace."""
        return access_of(self.method, self.target) if "/namespaces/" in self.target else None


class AccessLog(FaultProxy):
    """Takes the place of the API server within its `with` block."""

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
    """The token may be the first part of the path: kubectl sends no Authorization header without TLS."""
    target = request.rel_url.raw_path_qs
    first, _, rest = target.lstrip("/").partition("/")
    if first.count(".") == 2:
        return first, f"/{rest}"
    return request.headers.get("Authorization", "").removeprefix("Bearer "), target


def _user(token: str) -> str:
    """The subject of a ServiceAccount's token; empty for other tokens."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    subject: str = claims["sub"]
    return subject
