"""The files of a training: photos, captions and masks, found in folders and checked before they are sent.

The gateway checks the content; here names and sizes are checked, so that a wrong folder is noticed before an upload.
"""

import mimetypes
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from darkroom_client.errors import InputError
from darkroom_contract.photos.limits import (
    FORMAT_NAMES,
    MAX_DATASET_BYTES,
    MAX_PHOTO_BYTES,
    MAX_PHOTOS,
    is_hidden,
    is_photo_name,
)

MAX_CAPTION_BYTES = 4 * 1000
"""1,000 characters of UTF-8."""

MASK = re.compile(r"(?P<stem>.+)\.mask\.\w+", re.IGNORECASE)

MAX_NAMED = 3
"""Folders or files that a message lists."""

MEBIBYTE = 1024**2


@dataclass(frozen=True)
class PhotoFile:
    """A photo, its caption or its mask."""

    path: Path
    bytes: int

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_caption(self) -> bool:
        return self.path.suffix.lower() == ".txt"

    @property
    def is_mask(self) -> bool:
        return not self.is_caption and MASK.fullmatch(self.name) is not None

    @property
    def stem(self) -> str:
        """The name that a photo shares with its caption and its mask."""
        mask = MASK.fullmatch(self.name) if self.is_mask else None
        return mask["stem"] if mask else self.path.stem

    @property
    def paired_by(self) -> str:
        """As the gateway compares stems: in any case, and in either form of accents (macOS names files in NFD)."""
        return unicodedata.normalize("NFC", self.stem).casefold()

    @property
    def content_type(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


@dataclass(frozen=True)
class PhotoFiles:
    """What is sent, in the order of names, and what is left out."""

    files: tuple[PhotoFile, ...]
    skipped: tuple[Path, ...] = field(default=())
    """Files of folders that are no photos, captions or masks."""

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.files)

    @property
    def photos(self) -> tuple[PhotoFile, ...]:
        return tuple(each for each in self.files if not each.is_caption and not each.is_mask)


def find_photos(paths: Iterable[Path | str]) -> PhotoFiles:
    """The photos in these folders (not in folders below them) and among these files. Raises `InputError`."""
    found: list[Path] = []
    skipped: list[Path] = []
    given = [Path(path) for path in paths]
    for path in given:
        with refusing_unusable(path):
            if path.is_dir():
                listed = _files_of(path)
                found += (each for each in listed if _is_usable(each))
                skipped += (each for each in listed if not _is_usable(each))
            elif path.exists() and not path.is_file():
                raise InputError(f"{path} is neither a file nor a folder.")
            elif path.is_file() and not _is_usable(path):
                raise InputError(f"{path} is not a photo ({FORMAT_NAMES}), a caption (.txt) or a mask (.mask.png).")
            else:
                found.append(path)
    for each in found:
        check_readable(each)
    files = PhotoFiles(tuple(PhotoFile(each, each.stat().st_size) for each in found), tuple(skipped))
    if not files.photos:
        raise InputError(_without_photos(given, files.skipped))
    _check(files)
    return files


def _files_of(folder: Path) -> list[Path]:
    with refusing_unusable(folder):
        return sorted(each for each in folder.iterdir() if each.is_file() and not is_hidden(each.name))


def _without_photos(given: Sequence[Path], skipped: Sequence[Path]) -> str:
    """Names the places that were searched, and a folder below them that has photos."""
    places = [str(path) for path in given[:MAX_NAMED]] + ["..."] * (len(given) > MAX_NAMED)
    left_out = [path.name for path in skipped[:MAX_NAMED]] + ["..."] * (len(skipped) > MAX_NAMED)
    has = f" It has other files: {', '.join(left_out)}." if left_out else ""
    below = (folder for path in given if path.is_dir() for folder in sorted(path.iterdir()) if folder.is_dir())
    nearest = next((folder for folder in below if _has_photos(folder)), None)
    advice = f"Give a folder of {FORMAT_NAMES} files, or the files themselves."
    if nearest is not None:
        advice = f"Folders below it are not searched: {nearest} has photos, so give that one."
    return f"There are no photos in {', '.join(places)}.{has} {advice}"


def _has_photos(folder: Path) -> bool:
    """False for a folder that can't be read."""
    try:
        return any(is_photo_name(each.name) for each in folder.iterdir())
    except OSError:
        return False


def _is_usable(path: Path) -> bool:
    return is_photo_name(path.name) or path.suffix.lower() == ".txt"


def _check(found: PhotoFiles) -> None:
    if len(found.photos) > MAX_PHOTOS:
        raise InputError(f"There are {len(found.photos)} photos, more than {MAX_PHOTOS}. A few good ones are enough.")
    for each in found.files:
        _check_file(each)
    if found.bytes > MAX_DATASET_BYTES:
        size, most = found.bytes // MEBIBYTE, MAX_DATASET_BYTES // MEBIBYTE
        raise InputError(f"The photos have {size} MiB in all, more than {most}. Leave some out, or scale them down.")
    photos = {each.paired_by for each in found.photos}
    for each in found.files:
        if each.paired_by not in photos:
            what = "caption" if each.is_caption else "mask"
            raise InputError(f"{each.path} is the {what} of no photo: there is no photo named {each.stem}.")
    _check_names(found)


def is_text(words: str) -> bool:
    """Whether this can be sent. Python reads file names and arguments that are not UTF-8 as lone surrogates."""
    return not any("\ud800" <= each <= "\udfff" for each in words)


def check_readable(path: Path, *, may_be_pipe: bool = False) -> None:
    """That a file exists and can be opened: better before anything is sent. Raises `InputError`.

    What is sent is read more than once, which a pipe (`may_be_pipe`) does not allow."""
    with refusing_unusable(path):
        if path.is_dir():
            raise InputError(f"{path} is a folder. Give a file.")
        if not path.exists():
            raise InputError(f"{path} does not exist.")
        if not path.is_file() and not may_be_pipe:
            raise InputError(f"{path} is not a file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} can't be read: you have no permission.")


@contextmanager
def refusing_unusable(path: Path) -> Iterator[None]:
    """Turns what the system says of a path, such as that it is too long, into an `InputError`."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}.") from error


def check_name(path: Path) -> None:
    """Raises `InputError`."""
    if not is_text(path.name):
        raise InputError(f"{path} can't be sent: its name is not text in UTF-8. Rename the file.")


def _check_file(file: PhotoFile) -> None:
    check_name(file.path)
    if file.is_caption:
        if file.bytes > MAX_CAPTION_BYTES:
            raise InputError(f"{file.path} is too long for a caption: at most 1000 characters.")
        return
    if file.bytes == 0:
        raise InputError(f"{file.path} is empty.")
    if file.bytes > MAX_PHOTO_BYTES:
        size, most = file.bytes / MEBIBYTE, MAX_PHOTO_BYTES // MEBIBYTE
        raise InputError(f"{file.path} has {size:.1f} MiB, more than {most}. Scale it down.")


def _check_names(found: PhotoFiles) -> None:
    """Captions and masks belong to photos by name, so two files of one name can't be distinguished."""
    seen: dict[str, PhotoFile] = {}
    for each in found.files:
        other = seen.setdefault(each.name, each)
        if other is not each:
            raise InputError(f"{other.path} and {each.path} have the same name. Rename one of them.")
