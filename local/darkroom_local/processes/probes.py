"""Readiness and liveness probes of child processes. Called by the supervisor."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import httpx

from darkroom_local.plain_http import NO_CERTIFICATES

TIMEOUT_SECONDS = 2.0
"""Of one attempt."""


class Probe(Protocol):
    async def __call__(self) -> bool:
        """Whether the probe succeeds; False while the process can't be reached."""


@dataclass(frozen=True)
class HttpProbe:
    """Succeeds when `url` (of plain HTTP) answers with a status below 400."""

    url: str
    token: str | None = None

    async def __call__(self) -> bool:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=NO_CERTIFICATES, trust_env=False) as client:
            try:
                return (await client.get(self.url, headers=headers)).status_code < 400
            except httpx.HTTPError:
                return False


@dataclass(frozen=True)
class RedisProbe:
    """Succeeds when the server answers PING. While it loads its data from disk it answers -LOADING."""

    port: int
    password: str

    async def __call__(self) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return b"+PONG" in await self._ping()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    async def _ping(self) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"AUTH {self.password}\r\nPING\r\n".encode())
            await writer.drain()
            return await reader.readline() + await reader.readline()
        finally:
            writer.close()
