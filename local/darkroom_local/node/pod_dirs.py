"""Where a pod's things are on this machine. Used by the workers and by `logs.py`.

    pods/<uid>/containers/<name>/log               what the container wrote to stdout and stderr
    pods/<uid>/containers/<name>/termination-log   its termination message
    pods/<uid>/containers/<name>/tmp/              TMPDIR, and its working directory
    pods/<uid>/volumes/<name>/                     the pod's emptyDirs, shared by its containers

Uids and names become paths here and nowhere else, and only after they were checked.
"""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MAX_MESSAGE_BYTES = 4096
"""Kubernetes keeps this much of a termination message."""

_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def is_uid(text: str) -> bool:
    """Whether the uid is one that an API server made. Others (static pods have them) never become paths."""
    return _UID.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether it is a DNS label, as volumes and containers are named."""
    return _NAME.fullmatch(text) is not None


def _checked(name: str, kind: str) -> str:
    """Raises `ValueError` for what is no DNS label."""
    if not is_name(name):
        raise ValueError(f"{name!r} is no name of a {kind}")
    return name


@dataclass(frozen=True)
class ContainerDir:
    """The folder of one container of a pod."""

    root: Path

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def termination_message(self) -> Path:
        return self.root / "termination-log"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def make(self) -> None:
        self.tmp.mkdir(parents=True, exist_ok=True)
        for file in (self.log, self.termination_message):
            file.touch()

    def read_termination_message(self) -> str:
        """The end of the termination message, or nothing when there is none."""
        try:
            content = self.termination_message.read_bytes()
        except OSError:
            return ""
        return content[-MAX_MESSAGE_BYTES:].decode(errors="replace")


@dataclass(frozen=True)
class PodDir:
    """The folder of one pod."""

    root: Path

    def container(self, name: str) -> ContainerDir:
        return ContainerDir(self.root / "containers" / _checked(name, "container"))

    def containers(self) -> list[ContainerDir]:
        """Of the containers that were started."""
        return [ContainerDir(path) for path in (self.root / "containers").glob("*")]

    def volume(self, name: str) -> Path:
        return self.root / "volumes" / _checked(name, "volume")

    def make(self, volumes: Iterable[str]) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in volumes:
            self.volume(name).mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Free the disk that a run took; logs and termination messages are kept."""
        shutil.rmtree(self.root / "volumes", ignore_errors=True)
        for container in self.containers():
            shutil.rmtree(container.tmp, ignore_errors=True)


class PodDirs:
    """The folders of all pods of a node."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "pods"
        self._root.mkdir(parents=True, exist_ok=True)

    def of(self, uid: str) -> PodDir:
        if not is_uid(uid):
            raise ValueError(f"{uid!r} is no uid of a pod")
        return PodDir(self._root / uid)

    def uids(self) -> list[str]:
        """Uids of the pods that have a folder."""
        return [path.name for path in self._root.iterdir() if is_uid(path.name)]

    def remove(self, uid: str) -> None:
        shutil.rmtree(self.of(uid).root, ignore_errors=True)
