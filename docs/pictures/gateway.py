"""A gateway for `make pictures`: one of its own, or a running one. Submits jobs and fetches their files."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PORT = 8123
TIMEOUT_SECONDS = 3600.0
START_SECONDS = 600
"""A machine that is busy with other things takes minutes."""


@contextmanager
def existing(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@contextmanager
def darkroom_up() -> Iterator[httpx.Client]:
    """A cluster for this run only."""
    with tempfile.TemporaryDirectory() as state, existing(f"http://127.0.0.1:{PORT}") as client:
        program = str(Path(sys.executable).parent / "darkroom")
        process = subprocess.Popen([program, "up", "--state-dir", state, "--port", str(PORT)])  # noqa: S603
        try:
            wait_until_ready(client)
            yield client
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def wait_until_ready(client: httpx.Client) -> None:
    for _ in range(START_SECONDS):
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    raise SystemExit(f"{client.base_url} is not ready after {START_SECONDS} s: see the output of `darkroom up`")


def submit(client: httpx.Client, path: str, **request: Any) -> str:
    response = client.post(path, **request)
    if response.status_code != 202:
        raise SystemExit(f"POST {path}: {response.status_code} {response.text}")
    return str(response.json()["task_id"])


def wait_for(client: httpx.Client, task_id: str, path: str = "/images") -> dict[str, Any]:
    give_up = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < give_up:
        job: dict[str, Any] = client.get(path, params={"task_id": task_id}).json()
        if job["phase"] == "Succeeded":
            return job
        if job["phase"] == "Failed":
            raise SystemExit(f"{task_id} failed: {job['failure']}")
        time.sleep(2)
    raise SystemExit(f"{task_id} did not end within {TIMEOUT_SECONDS:.0f} s")


def download(url: str, path: Path) -> None:
    response = httpx.get(url, timeout=60, trust_env=False)
    response.raise_for_status()
    path.write_bytes(response.content)
