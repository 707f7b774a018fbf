"""The API keys of a deployment: a folder with one file for each key, as Kubernetes mounts a Secret. Asked by
auth/middleware.py.

The file's name is the key's name, its content is the key. Of a key only its hash is kept, so that no dump, repr or log
of this process holds one. The folder is looked at again as requests come: a key that is added or removed there counts
within a second or so, without a restart.
"""

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from darkroom_contract.names import KEY_NAME_PATTERN
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import API_KEYS_DIR

log = logging.getLogger(__name__)

LOOK_AGAIN_SECONDS = 1.0
MIN_KEY_CHARACTERS = 16

KUBERNETES_OWN = ".."
"""So begin the entries by which Kubernetes swaps a Secret's content all at once."""

_USABLE_NAME = re.compile(KEY_NAME_PATTERN)
_USABLE_KEY = re.compile(rb"[\x21-\x7e]+")
"""What a header can carry as one word."""

Stamp = frozenset[tuple[str, int, int, int]]
"""What changes when the folder does: name, inode, time and size of each file, behind the links of a mounted Secret."""


class _UnusableEntryError(Exception):
    """A file that holds no key; the text says why, and never what it holds."""


@dataclass(frozen=True)
class _Reading:
    """What the folder held at one time."""

    hashes: dict[str, bytes]
    problems: tuple[str, ...]


class ApiKeys:
    """The keys of one folder, as they are now. Used from the event loop alone."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises `SettingsError` unless every file of the folder is a usable key, and there is one."""
        self._folder = folder
        self._clock = clock
        self._look_again_at = clock() + LOOK_AGAIN_SECONDS
        self._said: tuple[str, ...] = ()
        try:
            self._stamp: Stamp | None = _stamp(folder)
            reading = _read(folder)
        except OSError as error:
            raise SettingsError(f"{API_KEYS_DIR} is {str(folder)!r}, which can't be read: {error.strerror}.") from error
        if reading.problems:
            raise SettingsError(f"{API_KEYS_DIR} is {str(folder)!r}: {' '.join(reading.problems)}")
        self._hashes = reading.hashes

    @property
    def names(self) -> list[str]:
        return sorted(self._hashes)

    def name_of(self, key: bytes) -> str | None:
        """The name of a key, or None when it is nobody's.

        Every key is compared, each in constant time: how long it takes tells nothing about how near a guess was.
        """
        self._look_again()
        asked, found = _hash(key), None
        for name, known in self._hashes.items():
            if hmac.compare_digest(asked, known):
                found = name
        return found

    def _look_again(self) -> None:
        """Read the folder anew when it has changed since; what can't be used is logged and left out."""
        if self._clock() < self._look_again_at:
            return
        self._look_again_at = self._clock() + LOOK_AGAIN_SECONDS
        try:
            stamp = _stamp(self._folder)
            if stamp == self._stamp:
                return
            reading = _read(self._folder)
        except OSError as error:
            self._complain((f"It can't be read ({error.strerror}): the keys that were read last go on to count.",))
            return
        # With problems it is read again at the next look: a file may have been caught halfway.
        self._stamp = None if reading.problems else stamp
        self._complain(reading.problems)
        if reading.hashes != self._hashes:
            self._hashes = reading.hashes
            log.info("the API keys have changed; now there are: %s", ", ".join(self.names) or "none")

    def _complain(self, problems: tuple[str, ...]) -> None:
        """Once, not at every look."""
        if problems and problems != self._said:
            log.error("API keys in %s: %s", self._folder, " ".join(problems))
        self._said = problems


def _stamp(folder: Path) -> Stamp:
    """Raises `OSError` when the folder can't be listed."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(KUBERNETES_OWN):
                try:
                    status = entry.stat()
                except OSError:
                    found.append((entry.name, 0, 0, 0))
                else:
                    found.append((entry.name, status.st_ino, status.st_mtime_ns, status.st_size))
    return frozenset(found)


def _read(folder: Path) -> _Reading:
    """Raises `OSError` when the folder can't be listed."""
    names: dict[bytes, str] = {}
    problems = []
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(KUBERNETES_OWN):
            try:
                key_hash = _hash(_read_key(path))
                if key_hash in names:
                    raise _UnusableEntryError(f"The key {path.name} is the key {names[key_hash]} once more.")
                names[key_hash] = path.name
            except _UnusableEntryError as error:
                problems.append(str(error))
    if not names and not problems:
        problems.append("It holds no key. Put a file there for each, named as the key, with the key as its content.")
    return _Reading({name: key_hash for key_hash, name in names.items()}, tuple(problems))


def _read_key(path: Path) -> bytes:
    """Raises `_UnusableEntryError`."""
    name = path.name
    if not _USABLE_NAME.fullmatch(name):
        raise _UnusableEntryError(
            f"{name!r} can't be the name of a key: use 1 to 63 letters, digits, '.', '_' and '-', "
            "with a letter or digit at both ends."
        )
    if not path.is_file():
        raise _UnusableEntryError(f"{name} is no file.")
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise _UnusableEntryError(f"The key {name} can't be read: {error.strerror}.") from error
    if len(key) < MIN_KEY_CHARACTERS:
        raise _UnusableEntryError(
            f"The key {name} has {len(key)} characters: use at least {MIN_KEY_CHARACTERS}, "
            "such as the output of `openssl rand -hex 24`."
        )
    if not _USABLE_KEY.fullmatch(key):
        raise _UnusableEntryError(f"The key {name} can't be sent in a header: use printable ASCII without spaces.")
    return key


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
