"""The photos of a training run: downloaded, checked, and decoded one at a time. Called by `train_job`.

The gateway has checked what it took in; a job from YAML never passes it, so everything is checked again here, by the
same reading and the same bounds. No picture stays in memory: the files lie in the scratch folder. What a photo is
called in the bucket never becomes the name of a local file.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from darkroom_contract import photo_reading
from darkroom_contract import photos as bounds
from darkroom_contract.datasets import DatasetPolicy
from darkroom_contract.photo_decoder import DecodingLimits, PhotoDecoder
from darkroom_contract.photo_facts import PhotoError, PhotoProperties
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.storage import parse_uri
from darkroom_runner.errors import DatasetInvalidError, DatasetNotAllowedError, DatasetNotFoundError
from darkroom_runner.remarks import Remarks
from darkroom_runner.storage import NoSuchBucketError, Storage, StoredObject

log = logging.getLogger(__name__)

_MIB = 1024**2
_NAMED = 3
"""Files that a remark names; the rest is counted."""

CHECK_LIMITS = DecodingLimits(memory_bytes=3 * 1024**3, seconds=120)
"""Every photo that the gateway accepts by default fits: it allows 1 GiB and 20 s. Beyond this a photo would take the
memory of the run, or its deadline, and the run would end without naming it."""

_UPSCALED_BEYOND = 2
"""A photo that is scaled up by more shows: less than a quarter of its pixels were taken by a camera."""


@dataclass(frozen=True)
class Photo:
    """One checked photo."""

    name: str
    """As messages call it."""
    path: Path
    facts: PhotoProperties

    def read(self, least_px: int | None = None) -> Image.Image:
        """Its picture, as `read_photo` gives it: from the file, anew at every call."""
        return read_photo(self.path, self.name, least_px)


def require_allowed(uri: str, namespace: str, policy: DatasetPolicy) -> None:
    """Before anything of `uri` is asked for. Raises `DatasetNotAllowedError` unless jobs of `namespace` may read it."""
    fault = policy.fault(uri, namespace)
    if fault is not None:
        raise DatasetNotAllowedError(fault)


def fetch_photos(
    storage: Storage, uri: str, folder: Path, remarks: Remarks, on_photo: Callable[[int, int], None]
) -> list[Photo]:
    """Download and check every photo under `uri`; what is left out or converted goes into `remarks`.

    `on_photo` gets the number of photos checked, and of all: before the first, and after each. Raises
    `DatasetNotFoundError` when there are none and `DatasetInvalidError` when one can't be used.
    """
    bucket, prefix = parse_uri(uri)
    photos: list[Photo] = []
    listed = _list_photos(storage, bucket, prefix, uri, remarks)
    on_photo(0, len(listed))
    with _photo_decoder() as decoder:
        for number, stored in enumerate(listed):
            path = folder / f"photo-{number:03d}"
            storage.download(bucket, stored.key, path)
            photos.append(check_photo(path, bounds.short_name(stored.name), decoder))
            on_photo(len(photos), len(listed))
    log.info("checked %d photos of %s", len(photos), uri)
    _remark_conversions(photos, remarks)
    return photos


@contextmanager
def _photo_decoder() -> Iterator[PhotoDecoder]:
    decoder = PhotoDecoder(CHECK_LIMITS)
    try:
        yield decoder
    finally:
        decoder.kill()


def check_photo(path: Path, name: str, decoder: PhotoDecoder | None = None) -> Photo:
    """Decode a photo completely, once: in the decoder's process and within its limits, or in this process.

    `name` is what messages call it. Raises `DatasetInvalidError`.
    """
    try:
        if decoder is None:
            return Photo(name, path, photo_reading.check_photo(path.read_bytes(), name))
        with path.open("rb") as file:
            return Photo(name, path, decoder.check(file.fileno(), name))
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error


def read_photo(path: Path, name: str, least_px: int | None = None) -> Image.Image:
    """A photo as upright RGB in sRGB; with `least_px`, perhaps smaller (see `darkroom_contract.photo_reading`).

    `name` is what messages call it. Raises `DatasetInvalidError`.
    """
    try:
        return photo_reading.read_photo(path.read_bytes(), name, least_px)
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error


def remark_upscaled(photos: list[Photo], side_px: int, remarks: Remarks) -> None:
    """Say which photos are so small that training at `side_px` blurs them."""
    small = [photo for photo in photos if min(photo.facts.size_px) * _UPSCALED_BEYOND < side_px]
    if small:
        sizes = [f"{each.name} ({each.facts.size_px[0]}×{each.facts.size_px[1]})" for each in small[:_NAMED]]
        remarks.add(
            RemarkReason.PHOTOS_UPSCALED,
            f"{_of(small, photos)} scaled up more than twice to the training size of {side_px} pixels, such as "
            f"{', '.join(sizes)}: the LoRA learns their blur. Use larger photos, or a lower training.resolution.",
        )


def _list_photos(storage: Storage, bucket: str, prefix: str, uri: str, remarks: Remarks) -> list[StoredObject]:
    try:
        entries = storage.list_folder(bucket, prefix)
    except NoSuchBucketError as error:
        raise DatasetNotFoundError(f"There is no bucket {bucket!r}. Correct dataset.uri, which is {uri}.") from error
    visible = [each for each in entries if not bounds.is_hidden(each.name)]
    photos = [each for each in visible if bounds.is_photo_name(each.name)]
    others = [each for each in visible if not bounds.is_photo_name(each.name)]
    if others:
        names = ", ".join(bounds.short_name(each.name) for each in others[:_NAMED])
        remarks.add(
            RemarkReason.PHOTOS_LEFT_OUT,
            f"{len(others)} of {len(visible)} files were left out, such as {names}: only {bounds.FORMAT_NAMES} files "
            "are read, by their extension.",
        )
    _check_listing(photos, uri, len(others))
    return photos


def _check_listing(photos: list[StoredObject], uri: str, others: int) -> None:
    if len(photos) < bounds.MIN_PHOTOS:
        found = f", only {others} files of other kinds" if others else ""
        raise DatasetNotFoundError(
            f"No photos lie in {uri}{found}. Put {bounds.FORMAT_NAMES} files right there (folders below it are not "
            "read)."
        )
    if len(photos) > bounds.MAX_PHOTOS:
        raise DatasetInvalidError(f"{uri} holds {len(photos)} photos, more than {bounds.MAX_PHOTOS}. Take some out.")
    for photo in photos:
        if photo.size_bytes > bounds.MAX_PHOTO_BYTES:
            raise DatasetInvalidError(
                f"{bounds.short_name(photo.name)} has {photo.size_bytes / _MIB:.0f} MiB, more than "
                f"{bounds.MAX_PHOTO_BYTES // _MIB}. Make it smaller."
            )
    total = sum(photo.size_bytes for photo in photos)
    if total > bounds.MAX_DATASET_BYTES:
        raise DatasetInvalidError(
            f"The photos in {uri} have {total / _MIB:.0f} MiB together, more than "
            f"{bounds.MAX_DATASET_BYTES // _MIB}. Make them smaller or take some out."
        )


def _remark_conversions(photos: list[Photo], remarks: Remarks) -> None:
    """One remark on everything that the reading of photos changes about their colours."""
    told = []
    spaces = Counter(photo.facts.converted_from for photo in photos if photo.facts.converted_from is not None)
    if spaces:
        listed = ", ".join(f"{count} from {name}" for name, count in spaces.most_common(_NAMED))
        told.append(f"{spaces.total()} of {len(photos)} photos were converted to sRGB: {listed}.")
    if unreadable := [photo for photo in photos if photo.facts.profile_unreadable]:
        named = unreadable[0].name
        told.append(f"{len(unreadable)} have a colour profile that can't be read, such as {named}: taken as sRGB.")
    if transparent := [photo for photo in photos if photo.facts.transparent]:
        told.append(f"Transparent parts became white in {len(transparent)}, such as {transparent[0].name}.")
    if told:
        remarks.add(RemarkReason.PHOTOS_CONVERTED, " ".join(told))


def _of(some: list[Photo], photos: list[Photo]) -> str:
    return f"{len(some)} of {len(photos)} photos {'is' if len(some) == 1 else 'are'}"
