"""The state folder: everything that a local cluster keeps. Used by cluster.py.

    cluster.json      its version, and ports and credentials, chosen at the first start
    lock              held by the process that runs on the folder
    kubeconfig        how kubectl reaches the API server, for the namespace of the jobs
    runner-template.yaml  bin/        what pods are made of, and the one program that they may run
    apiserver/ redis/ s3/ node/       data of the parts
    logs/             one log a part

All of it is for its owner only (0700 and 0600), and made so at every start: there are secrets and photos in it. Ports
and credentials stay the same over restarts, so that a kubeconfig and the links that people hold stay valid.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TextIO

from darkroom_local.errors import LocalError, StateInUseError
from darkroom_local.processes.ports import free_ports

SETTINGS_FILE = "cluster.json"
LOCK_FILE = "lock"
KUBECONFIG = "kubeconfig"
RUNNER_TEMPLATE = "runner-template.yaml"
LOGS = "logs"
DRAFT_SUFFIX = ".new"

VERSION = 1
"""Of the whole folder. Raise it with a change that an older release can't read; a port or a credential more is none."""

FILES = frozenset({SETTINGS_FILE, LOCK_FILE, KUBECONFIG, RUNNER_TEMPLATE})
FOLDERS = frozenset({"apiserver", "redis", "s3", "node", "bin", LOGS})
OURS = FILES | FOLDERS | {name + DRAFT_SUFFIX for name in FILES}
"""Every name right under the folder. What else lies there is somebody's own and stays as it is."""


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
        self.kubeconfig = self.root / KUBECONFIG
        self.runner_template = self.root / RUNNER_TEMPLATE
        self.logs = self.root / LOGS

    def folder(self, name: str) -> Path:
        """A folder for one part's data, made when it is missing."""
        path = self.root / name
        with _mapped(self.root):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which is made, and made private, when it is not.

        Raises `StateInUseError` when another process holds it; the kernel frees it if we are killed. Raises
        `LocalError` when it can't be used.
        """
        with _mapped(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.root / LOCK_FILE).open("a+", encoding="utf-8")
        with lock:
            self._hold(lock)
            with _mapped(self.root):
                self._make_private()
            yield

    def _hold(self, lock: TextIO) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise StateInUseError(
                f"{self.root} is used by process {holder}: stop it, or name another folder"
            ) from error
        except OSError as error:
            raise _unusable(self.root, error) from error
        with _mapped(self.root):
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()

    def _make_private(self) -> None:
        """Take from others what releases before this one let them read. The folder itself only if all in it is ours."""
        entries = list(self.root.iterdir())
        for entry in entries:
            if entry.name in OURS and not entry.is_symlink():
                entry.chmod(0o700 if entry.is_dir() else 0o600)
        if all(entry.name in OURS for entry in entries):
            self.root.chmod(0o700)

    def last_gateway_port(self) -> int | None:
        """Where the gateway was at the last start; None for a new folder."""
        known = self._read()
        return None if known is None else _settings(known).ports.gateway

    def settings(self, *, gateway_port: int | None = None) -> Settings:
        """The ports and credentials of this folder, chosen now when it is new; a given port replaces the one chosen.

        Raises `LocalError` for a folder that is damaged, or that a newer release has written.
        """
        known = self._read()
        settings = Settings(_choose_ports(), _choose_credentials()) if known is None else _settings(known)
        if gateway_port is not None:
            settings = replace(settings, ports=replace(settings.ports, gateway=gateway_port))
        document = {"version": VERSION, **asdict(settings)}
        if document != known:
            with _mapped(self.root):
                write_private(self.root / SETTINGS_FILE, json.dumps(document, indent=2) + "\n")
        return settings

    def _read(self) -> dict[str, Any] | None:
        path = self.root / SETTINGS_FILE
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            version = document.get("version", 1)  # Release 0.1.0 wrote none.
            if version > VERSION:
                raise LocalError(
                    f"{self.root} was written by a newer release of Darkroom (its version is {version}, and this "
                    f"release reads up to {VERSION}): use that release, or name another folder"
                )
            _settings(document)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(self.root, error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LocalError(f"{path} is damaged ({error!r}): delete it to choose new ports and credentials") from error
        return dict(document)


def write_private(path: Path, text: str) -> None:
    """Write a whole file that only its owner may read; a crash leaves the old one or the new one."""
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _settings(document: Mapping[str, Any]) -> Settings:
    """What the document holds. A port or credential of a later release is passed over, a missing one chosen now."""
    return Settings(
        Ports(**_known(document["ports"], asdict(_choose_ports()), int)),
        Credentials(**_known(document["credentials"], asdict(_choose_credentials()), str)),
    )


def _known(section: Mapping[str, Any], chosen: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """Raises `TypeError` for a section or a value that is of another kind."""
    values = {name: section.get(name, value) for name, value in chosen.items()}
    wrong = [name for name, value in values.items() if type(value) is not kind]
    if wrong:
        raise TypeError(f"{wrong[0]} is no {kind.__name__}")
    return values


@contextlib.contextmanager
def _mapped(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unusable(root, error) from error


def _unusable(root: Path, error: OSError) -> LocalError:
    where = error.filename or root
    return LocalError(f"{root} can't be used as the state folder: {error.strerror} ({where})")


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
