"""Where a pod's things are on this machine. Used by the workers and by `logs.py`.

    pods/<uid>/log               what the run wrote to stdout and stderr
    pods/<uid>/termination-log   its last word
    pods/<uid>/tmp/              TMPDIR, and where it starts
    pods/<uid>/volumes/<name>/   its emptyDirs

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


@dataclass(frozen=True)
class PodFolder:
    """The folder of one pod."""

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

    def volume(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a volume")
        return self.root / "volumes" / name

    def make(self, volumes: Iterable[str]) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.tmp, *(self.volume(name) for name in volumes)):
            folder.mkdir(parents=True, exist_ok=True)
        for file in (self.log, self.termination_message):
            file.touch()

    def clear(self) -> None:
        """Free the disk that a run took; its log and last word are kept."""
        shutil.rmtree(self.root / "volumes", ignore_errors=True)
        shutil.rmtree(self.tmp, ignore_errors=True)

    def last_word(self) -> str:
        """The end of the termination message, or nothing when there is none."""
        try:
            content = self.termination_message.read_bytes()
        except OSError:
            return ""
        return content[-MAX_MESSAGE_BYTES:].decode(errors="replace")


class PodFolders:
    """The folders of all pods of a node."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "pods"
        self._root.mkdir(parents=True, exist_ok=True)

    def of(self, uid: str) -> PodFolder:
        if not is_uid(uid):
            raise ValueError(f"{uid!r} is no uid of a pod")
        return PodFolder(self._root / uid)

    def uids(self) -> list[str]:
        """Uids of the pods that have a folder."""
        return [path.name for path in self._root.iterdir() if is_uid(path.name)]

    def remove(self, uid: str) -> None:
        shutil.rmtree(self.of(uid).root, ignore_errors=True)
