"""Gateways that run as separate processes, and their clients."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import httpx


@dataclass(frozen=True)
class Gateway:
    """A running gateway and its client."""

    http: httpx.Client
    process: subprocess.Popen[bytes]
    log_path: Path = field(repr=False)

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")


@dataclass(frozen=True)
class SecuredGateway:
    """A gateway with API keys that logs at level DEBUG."""

    gateway: Gateway
    keys_folder: Path = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    """Secrets that the log must not contain."""
    redis_url: str
    metrics_url: str

    @property
    def http(self) -> httpx.Client:
        """A client without an API key."""
        return self.gateway.http

    def key(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {(self.keys_folder / name).read_text()}"}
