"""Which files of a dataset folder are photos, and which are captions and masks beside them. Pure.

`dog.txt` is the caption and `dog.mask.png` the mask of `dog.jpg`. Case does not count.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from darkroom_contract.photos import limits as bounds
from darkroom_runner.run.storage import StoredObject

CAPTION_SUFFIX = ".txt"
MASK_SUFFIX = ".mask"
"""Before the extension of an image format."""


@dataclass(frozen=True)
class ListedPhoto:
    """A photo in the listing of a folder, and the files beside it."""

    photo: StoredObject
    caption: StoredObject | None
    mask: StoredObject | None

    @property
    def size_bytes(self) -> int:
        """Of the photo and its mask."""
        return self.photo.size_bytes + (0 if self.mask is None else self.mask.size_bytes)


@dataclass
class Listing:
    """The files of a folder, without hidden ones."""

    photos: list[ListedPhoto] = field(default_factory=list)
    captions_alone: list[str] = field(default_factory=list)
    """Names of captions without a photo."""
    masks_alone: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Names of files that are none of these."""

    @property
    def other_files(self) -> int:
        return len(self.others) + len(self.captions_alone) + len(self.masks_alone)


def sort_files(files: Iterable[StoredObject]) -> Listing:
    """The listing of a folder's files, which come sorted by name. Photos whose names differ only in their extension
    share a caption and a mask."""
    listing = Listing()
    photos: list[StoredObject] = []
    captions: dict[str, StoredObject] = {}
    masks: dict[str, StoredObject] = {}
    for each in files:
        name, stem = _name_and_stem(each.name)
        if bounds.is_hidden(each.name):
            continue
        if name.endswith(CAPTION_SUFFIX):
            captions.setdefault(stem, each)
        elif not bounds.is_photo_name(name):
            listing.others.append(each.name)
        elif stem.endswith(MASK_SUFFIX):
            masks.setdefault(stem.removesuffix(MASK_SUFFIX), each)
        else:
            photos.append(each)
    stems = {each.key: _name_and_stem(each.name)[1] for each in photos}
    listing.photos = [ListedPhoto(each, captions.get(stems[each.key]), masks.get(stems[each.key])) for each in photos]
    listing.captions_alone = [each.name for stem, each in captions.items() if stem not in stems.values()]
    listing.masks_alone = [each.name for stem, each in masks.items() if stem not in stems.values()]
    return listing


def _name_and_stem(file_name: str) -> tuple[str, str]:
    name = unicodedata.normalize("NFC", file_name).casefold()
    return name, name.rpartition(".")[0]
