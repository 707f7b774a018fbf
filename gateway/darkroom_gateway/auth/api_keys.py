"""API keys: a folder with one file per key, as Kubernetes mounts a Secret. Used by auth/middleware.py.

The file name is the key's name, its content is the key. Only hashes are kept in memory, so no dump, repr or log
contains a key. The folder is checked again as requests arrive: added and removed keys take effect within about a
second, without a restart.
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

CHECK_SECONDS = 1.0
MIN_KEY_CHARACTERS = 16

KUBERNETES_OWN = ".."
"""Prefix of the entries with which Kubernetes replaces the content of a Secret atomically."""

_USABLE_NAME = re.compile(KEY_NAME_PATTERN)
_USABLE_KEY = re.compile(rb"[\x21-\x7e]+")
"""Printable ASCII without spaces."""

Stamp = frozenset[tuple[str, int, int, int]]
"""Name, inode, modification time and size of each file, after following the links of a mounted Secret."""


class _UnusableEntryError(Exception):
    """A file that is not a usable key. The text says why, without the content."""


@dataclass(frozen=True)
class _Reading:
    """The content of the folder at one time."""

    hashes: dict[str, bytes]
    problems: tuple[str, ...]


class ApiKeys:
    """The current keys of a folder. Used on the event loop only."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises `SettingsError` unless the folder has files, and every file is a usable key."""
        self._folder = folder
        self._clock = clock
        self._next_check = clock() + CHECK_SECONDS
        self._logged: tuple[str, ...] = ()
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
        """The name of a key, or None for an unknown key.

        Compares with every key, each in constant time, so that the duration reveals nothing about a guess.
        """
        self._reload_if_changed()
        given, found = _hash(key), None
        for name, known in self._hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found

    def _reload_if_changed(self) -> None:
        """Reload the folder if it has changed. Unusable files are logged and skipped."""
        if self._clock() < self._next_check:
            return
        self._next_check = self._clock() + CHECK_SECONDS
        try:
            stamp = _stamp(self._folder)
            if stamp == self._stamp:
                return
            reading = _read(self._folder)
        except OSError as error:
            self._log_problems((f"It can't be read ({error.strerror}): the previous keys stay valid.",))
            return
        # After problems, reload at the next check: a file may have been only partly written.
        self._stamp = None if reading.problems else stamp
        self._log_problems(reading.problems)
        if reading.hashes != self._hashes:
            self._hashes = reading.hashes
            log.info("reloaded the API keys: %s", ", ".join(self.names) or "none")

    def _log_problems(self, problems: tuple[str, ...]) -> None:
        """Once, not at every check."""
        if problems and problems != self._logged:
            log.error("API keys in %s: %s", self._folder, " ".join(problems))
        self._logged = problems


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
                    raise _UnusableEntryError(f"The keys {path.name} and {names[key_hash]} are the same.")
                names[key_hash] = path.name
            except _UnusableEntryError as error:
                problems.append(str(error))
    if not names and not problems:
        problems.append("It has no keys. Add a file for each key: its name is the key's name, its content is the key.")
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
        raise _UnusableEntryError(f"{name} is not a file.")
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
