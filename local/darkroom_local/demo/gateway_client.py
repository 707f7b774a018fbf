"""The demo's client of the gateway: submits jobs, follows their live progress, downloads their files."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import SSEError, connect_sse

from darkroom_local.errors import DemoFailedError

Json = dict[str, Any]
FINAL_PHASES = frozenset({"Succeeded", "Failed"})
POLL_SECONDS = 1.0
STREAM_TIMEOUT = httpx.Timeout(10, read=60)
"""The gateway sends a ping every 15 s: a stream that is silent for longer is broken."""


class GatewayClient(httpx.Client):
    """Raises `DemoFailedError` when the gateway rejects a request, `httpx.HTTPError` when it is unavailable."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, timeout=httpx.Timeout(30, connect=5), trust_env=False)

    def call(self, method: str, path: str, **options: Any) -> Json:
        response = self.request(method, path, **options)
        if response.is_client_error:
            raise DemoFailedError(f"{method} {path} failed with {response.status_code}: {response.json()['detail']}")
        answer: Json = response.raise_for_status().json()
        return answer

    def follow(self, job: Json) -> Iterator[Json]:
        """The states of a submitted job until it is finished, by server-sent events, or by polling without them."""
        phase, last_id = "", ""
        while phase not in FINAL_PHASES:
            state, live = Json(phase="Queued"), Json()
            with contextlib.suppress(httpx.HTTPError, SSEError, ValueError):
                headers = {"Last-Event-ID": last_id} if last_id else {}
                with connect_sse(self, "GET", job["events_url"], headers=headers, timeout=STREAM_TIMEOUT) as stream:
                    for event in stream.iter_sse():
                        last_id = event.id or last_id
                        match event.event:
                            case "status":
                                state = event.json()
                            case "progress":
                                live = {"progress": event.json()}
                            case _:
                                continue
                        yield state | live
            with contextlib.suppress(httpx.HTTPError):
                state = self.call("GET", job["job_url"])
                phase = state["phase"]
                yield state
            if phase not in FINAL_PHASES:
                time.sleep(POLL_SECONDS)

    def download(self, url: str, path: Path) -> Path:
        with self.stream("GET", url) as response, path.open("wb") as file:
            for chunk in response.raise_for_status().iter_bytes():
                file.write(chunk)
        return path
