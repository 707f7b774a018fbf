"""Downloaded files: written under a temporary name, checked, then renamed. Existing files are never overwritten.

The names come from the gateway and are checked: only plain file names become paths.
"""

import contextlib
import errno
import hashlib
import itertools
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from darkroom_client.errors import DownloadError, NotSavedError

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9._@+ -]{0,199}")


def safe_name(name: str) -> str:
    """The last segment of a name, which may have come from anywhere. Raises `DownloadError` for unusable ones."""
    last = name.replace("\\", "/").rpartition("/")[2]
    if not _PLAIN_NAME.fullmatch(last):
        raise DownloadError(f"The gateway named a file {name!r}, which is no plain file name. It was not saved.")
    return last


def numbered(path: Path) -> Iterator[Path]:
    """The path, then name-2.png, name-3.png and so on."""
    yield path
    number = 2
    while True:
        yield path.with_stem(f"{path.stem}-{number}")
        number += 1


def existing_copy(path: Path, sha256: str | None) -> Path | None:
    """The file, if it is there already with this content under one of its names: a repeated download saves nothing."""
    if sha256 is None:
        return None
    existing = itertools.takewhile(Path.exists, numbered(path))
    return next((each for each in existing if each.is_file() and _sha256(each) == sha256.lower()), None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepare_folder(folder: Path) -> None:
    """Make it, if there is none. Raises `NotSavedError` if no file can be written there."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotSavedError(path, error) from error


class PartialFile:
    """A file that is being downloaded to a temporary name beside its final one."""

    def __init__(self, target: Path, *, sha256: str | None = None, size_bytes: int | None = None) -> None:
        self._target = target
        self._sha256 = sha256
        self._size_bytes = size_bytes
        self._hash = hashlib.sha256()
        self._received_bytes = 0
        prepare_folder(target.parent)
        self._path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        with _writing(target):
            # Unbuffered: a full disk is noticed here, and not once more when the file is closed.
            self._file = self._path.open("xb", buffering=0)

    def write(self, content: bytes) -> None:
        with _writing(self._target):
            left = memoryview(content)
            while left:
                left = left[self._file.write(left) :]
        self._hash.update(content)
        self._received_bytes += len(content)

    def finish(self) -> Path:
        """Check the content and rename the file. Returns its path: another one if the name is taken."""
        with _writing(self._target):
            os.fsync(self._file.fileno())
            self._file.close()
        name = self._target.name
        if self._size_bytes is not None and self._received_bytes != self._size_bytes:
            raise DownloadError(f"{name} has {self._received_bytes} bytes, not {self._size_bytes}. It was not saved.")
        if self._sha256 is not None and self._hash.hexdigest() != self._sha256.lower():
            raise DownloadError(f"{name} arrived damaged: its SHA-256 is not the announced one. It was not saved.")
        with _writing(self._target):
            return self._rename()

    def _rename(self) -> Path:
        for path in numbered(self._target):
            try:
                # Reserves the name, so that two downloads at once never take the same one.
                path.open("xb").close()
            except FileExistsError:
                continue
            os.replace(self._path, path)
            return path
        raise AssertionError("unreachable")

    def __enter__(self) -> "PartialFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
