"""Roles of the files of an upload form, by their names. Pure.

`dog.txt` is the caption and `dog.mask.png` the mask of `dog.jpg`, as in other trainers. Folders and case don't count.
"""

import unicodedata
from enum import StrEnum

from darkroom_contract.photos import limits as bounds

CAPTION_SUFFIX = ".txt"
MASK_SUFFIX = ".mask"
"""Before the extension of an image: `dog.mask.png`."""


class FileRole(StrEnum):
    """What a file of the form is."""

    PHOTO = "photo"
    CAPTION = "caption"
    MASK = "mask"


def role_and_stem(file_name: str) -> tuple[FileRole, str]:
    """The role of a file, and the stem that pairs it with its photo. The stem of a file without a name is empty."""
    last = file_name.replace("\\", "/").rsplit("/", 1)[-1]
    name = unicodedata.normalize("NFC", last).casefold()
    stem, _, _ = name.rpartition(".")
    if name.endswith(CAPTION_SUFFIX):
        return FileRole.CAPTION, name.removesuffix(CAPTION_SUFFIX)
    if stem.endswith(MASK_SUFFIX) and bounds.is_photo_name(name):
        return FileRole.MASK, stem.removesuffix(MASK_SUFFIX)
    return FileRole.PHOTO, stem or name
