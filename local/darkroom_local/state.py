"""The state folder: everything that a local cluster keeps. Used by cluster.py.

    cluster.json      ports and credentials, chosen at the first start (mode 0600)
    lock              held by the process that runs on the folder
    kubeconfig        how kubectl reaches the API server, for the namespace of the jobs (mode 0600)
    apiserver/ redis/ s3/ node/       data of the parts
    logs/             one log a part

Ports and credentials stay the same over restarts, so that a kubeconfig and the links that people hold stay valid.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from darkroom_local.errors import LocalError, StateInUseError
from darkroom_local.ports import free_ports

SETTINGS_FILE = "cluster.json"
LOCK_FILE = "lock"


@dataclass(frozen=True)
class Ports:
    """One loopback port a server."""

    apiserver: int
    redis: int
    s3: int
    node: int
    operator: int
    gateway: int


@dataclass(frozen=True)
class Credentials:
    """Random secrets of one cluster."""

    api_token: str
    s3_access_key: str
    s3_secret_key: str
    redis_password: str


@dataclass(frozen=True)
class Settings:
    """What was chosen at the first start."""

    ports: Ports
    credentials: Credentials


class StateDir:
    """The folder, locked for this process while it is used."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.kubeconfig = self.root / "kubeconfig"
        self.logs = self.root / "logs"

    def folder(self, name: str) -> Path:
        """A folder for one part's data, made when it is missing."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder. Raises `StateInUseError` when another process does; the kernel frees it if we are killed."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.root / LOCK_FILE).open("a+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                holder = lock.read().strip() or "another process"
                raise StateInUseError(
                    f"{self.root} is used by process {holder}: stop it, or name another folder"
                ) from error
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield

    def last_gateway_port(self) -> int | None:
        """Where the gateway was at the last start; None for a new folder."""
        path = self.root / SETTINGS_FILE
        return _read(path).ports.gateway if path.exists() else None

    def settings(self, *, gateway_port: int | None = None) -> Settings:
        """The ports and credentials of this folder, chosen now when it is new; a given port replaces the one chosen."""
        path = self.root / SETTINGS_FILE
        known = _read(path) if path.exists() else None
        settings = known or Settings(_choose_ports(), _choose_credentials())
        if gateway_port is not None:
            settings = replace(settings, ports=replace(settings.ports, gateway=gateway_port))
        if settings != known:
            write_private(path, json.dumps(asdict(settings), indent=2) + "\n")
        return settings


def write_private(path: Path, text: str) -> None:
    """Write a whole file that only its owner may read; a crash leaves the old one or the new one."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(path: Path) -> Settings:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Settings(Ports(**document["ports"]), Credentials(**document["credentials"]))
    except (ValueError, KeyError, TypeError) as error:
        raise LocalError(f"{path} is damaged ({error!r}): delete it to choose new ports and credentials") from error


def _choose_ports() -> Ports:
    names = [field.name for field in fields(Ports)]
    return Ports(**dict(zip(names, free_ports(len(names)), strict=True)))


def _choose_credentials() -> Credentials:
    return Credentials(
        api_token=secrets.token_urlsafe(32),
        s3_access_key="DARKROOM" + secrets.token_hex(6).upper(),
        s3_secret_key=secrets.token_urlsafe(30),
        redis_password=secrets.token_urlsafe(24),
    )
