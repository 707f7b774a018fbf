"""The gateway as the demo uses it: the same HTTP that anybody would send."""

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from darkroom_local.errors import DemoFailedError, GatewayUnavailableError
from darkroom_local.kube.client import Json

TIMEOUT = httpx.Timeout(30, connect=5)


class Gateway:
    """One gateway. Methods raise `DemoFailedError` with the gateway's own words, or `httpx.TransportError`."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def train(self, photos: list[Path], parameters: Mapping[str, Any]) -> Json:
        files = [("files", (path.name, path.read_bytes(), _type_of(path))) for path in photos]
        return await self._ask("POST", "/train", params=dict(parameters), files=files)

    async def generate(self, parameters: Mapping[str, Any]) -> Json:
        return await self._ask("POST", "/generate/lora", params=dict(parameters))

    async def read(self, path: str) -> Json:
        """Any of the addresses that an answer holds."""
        return await self._ask("GET", path)

    async def download(self, url: str, path: Path) -> None:
        """A file through its signed link, without credentials."""
        async with self.http.stream("GET", url) as response:
            if response.status_code != 200:
                await response.aread()
                raise DemoFailedError(f"the link to {path.name} does not work: {response.status_code} {response.text}")
            with path.open("wb") as file:
                async for chunk in response.aiter_bytes():
                    file.write(chunk)

    async def _ask(self, method: str, path: str, **options: Any) -> Json:
        response = await self.http.request(method, path, **options)
        if response.status_code >= 400:
            kind = GatewayUnavailableError if response.status_code >= 500 else DemoFailedError
            raise kind(f"{method} {path} was answered with {response.status_code}: {_detail(response)}")
        answer: Json = response.json()
        return answer


def _type_of(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _detail(response: httpx.Response) -> str:
    """The problem document's own words, where there is one."""
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
