"""The directories of pods on this machine. Used by the pod workers and by the log server.

    pods/<uid>/containers/<name>/log               stdout and stderr of the container
    pods/<uid>/containers/<name>/termination-log   its termination message
    pods/<uid>/containers/<name>/tmp/              TMPDIR, and its working directory
    pods/<uid>/volumes/<name>/                     the pod's emptyDir and downwardAPI volumes, shared by its containers

Only this module turns uids and names into paths, after it checked them.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_MESSAGE_BYTES = 4096
"""Kubernetes' limit of a termination message."""

_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_uid(text: str) -> bool:
    """Whether it is a uid in the API server's format. Others (static pods have them) never become paths."""
    return _UID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether it is a DNS label, as names of volumes and containers are."""
    return _NAME.fullmatch(text) is not None


def _checked(name: str, kind: str) -> str:
    """Raises `ValueError` when the name is not a DNS label."""
    if not is_name(name):
        raise ValueError(f"{name!r} is not a valid name of a {kind}")
    return name


@dataclass(frozen=True)
class ContainerDir:
    """The directory of one container."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def termination_log(self) -> Path:
        return self.root / "termination-log"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def create(self) -> None:
        self.tmp.mkdir(parents=True, exist_ok=True)
        for file in (self.log, self.termination_log):
            file.touch()

    def read_termination_message(self) -> str:
        """The last 4,096 bytes of the termination message; empty when there is none."""
        try:
            content = self.termination_log.read_bytes()
        except OSError:
            return ""
        return content[-MAX_MESSAGE_BYTES:].decode(errors="replace")


@dataclass(frozen=True)
class PodDir:
    """The directory of one pod."""

    root: Path

    def container(self, name: str) -> ContainerDir:
        return ContainerDir(self.root / "containers" / _checked(name, "container"))

    def containers(self) -> list[ContainerDir]:
        """Of the containers that were started."""
        return [ContainerDir(path) for path in (self.root / "containers").glob("*")]

    def volume(self, name: str) -> Path:
        return self.root / "volumes" / _checked(name, "volume")

    def create(self, volumes: Iterable[str]) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in volumes:
            self.volume(name).mkdir(parents=True, exist_ok=True)

    def delete_scratch(self) -> None:
        """Delete volumes and temporary files of an ended run; logs and termination messages stay."""
        shutil.rmtree(self.root / "volumes", ignore_errors=True)
        for container in self.containers():
            shutil.rmtree(container.tmp, ignore_errors=True)


class PodDirs:
    """The directories of all pods of a node."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "pods"
        self._root.mkdir(parents=True, exist_ok=True)

    def of(self, uid: str) -> PodDir:
        if not is_uid(uid):
            raise ValueError(f"{uid!r} is not a valid pod uid")
        return PodDir(self._root / uid)

    def uids(self) -> list[str]:
        """Uids of the pods that have a directory."""
        return [path.name for path in self._root.iterdir() if is_uid(path.name)]

    def remove(self, uid: str) -> None:
        shutil.rmtree(self.of(uid).root, ignore_errors=True)
