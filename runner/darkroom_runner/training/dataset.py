"""The photos of a training: download, validation, and decoding one at a time.

The gateway validates uploads, but a job created from YAML bypasses it, so everything is validated again here, with the
same code and limits. Photos are stored in the scratch folder, not in memory. A photo's name in the bucket is never used
as a local file name.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos import reading as photo_reading
from darkroom_contract.photos.decoder import DecodingLimits, PhotoDecoder
from darkroom_contract.photos.errors import PhotoError, PhotoProperties
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import parse_uri
from darkroom_runner.errors import DatasetInvalidError, DatasetNotAllowedError, DatasetNotFoundError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import NoSuchBucketError, Storage, StoredObject

log = logging.getLogger(__name__)

_MIB = 1024**2
_NAMED = 3
"""Number of files that a remark names; the others are counted."""

CHECK_LIMITS = DecodingLimits(memory_bytes=3 * 1024**3, seconds=120)
"""Above the gateway's defaults (1 GiB, 20 s), so that every accepted photo fits. Without limits, a photo could exhaust
the run's memory or deadline, and the failure would not name the photo."""

_UPSCALED_BEYOND = 2
"""Enlarging more than this blurs visibly: fewer than a quarter of the pixels are original."""


@dataclass(frozen=True)
class Photo:
    """A validated photo."""

    name: str
    """Its name in messages."""
    path: Path
    properties: PhotoProperties
    caption: str | None = None
    """What it shows, in place of its concept's prompt."""
    mask: Path | None = None
    """Its mask's file: a grey picture of the same shape, white where the photo is learned."""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height, upright."""
        return self.properties.size_px

    def read(self, least_px: int | None = None) -> Image.Image:
        """Decode the photo with `read_photo`; nothing is cached."""
        return read_photo(self.path, self.name, least_px)


def require_allowed(uri: str, namespace: str, policy: DatasetPolicy) -> None:
    """Raises `DatasetNotAllowedError` unless jobs of `namespace` may read `uri`. Call it before the first request."""
    fault = policy.fault(uri, namespace)
    if fault is not None:
        raise DatasetNotAllowedError(fault)


def fetch_photos(
    storage: Storage, uri: str, folder: Path, remarks: Remarks, on_photo: Callable[[int, int], None]
) -> list[Photo]:
    """Download and validate all photos under `uri`. Skipped files and conversions are added to `remarks`.

    `on_photo` is called before the first photo and after each, with the number of photos done and their total. Raises
    `DatasetNotFoundError` if there are none and `DatasetInvalidError` if one can't be used.
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
    log.info("validated %d photos of %s", len(photos), uri)
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
    """Validate a photo by decoding it completely: in the decoder's process with its limits, or in this process.

    `name` is used in messages. Raises `DatasetInvalidError`.
    """
    try:
        if decoder is None:
            return Photo(name, path, photo_reading.check_photo(path.read_bytes(), name))
        with path.open("rb") as file:
            return Photo(name, path, decoder.check(file.fileno(), name))
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error


def read_photo(path: Path, name: str, least_px: int | None = None) -> Image.Image:
    """Decode a photo to upright sRGB; with `least_px`, possibly reduced (see `darkroom_contract.photos.reading`).

    `name` is used in messages. Raises `DatasetInvalidError`.
    """
    try:
        return photo_reading.read_photo(path.read_bytes(), name, least_px)
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error


def remark_upscaled(photos: list[Photo], side_px: int, remarks: Remarks) -> None:
    """Add the remark `PhotosUpscaled` for photos that are too small for training at `side_px`."""
    small = [photo for photo in photos if min(photo.properties.size_px) * _UPSCALED_BEYOND < side_px]
    if small:
        sizes = [f"{each.name} ({each.properties.size_px[0]}×{each.properties.size_px[1]})" for each in small[:_NAMED]]
        remarks.add(
            RemarkReason.PHOTOS_UPSCALED,
            f"{_of(small, photos)} enlarged more than twice to the training size of {side_px} pixels, such as "
            f"{', '.join(sizes)}: the LoRA learns their blur. Use larger photos, or a lower training.resolution.",
        )


def _list_photos(storage: Storage, bucket: str, prefix: str, uri: str, remarks: Remarks) -> list[StoredObject]:
    try:
        entries = storage.list_folder(bucket, prefix)
    except NoSuchBucketError as error:
        raise DatasetNotFoundError(f"There is no bucket {bucket!r}. Correct dataset.uri (now {uri}).") from error
    visible = [each for each in entries if not bounds.is_hidden(each.name)]
    photos = [each for each in visible if bounds.is_photo_name(each.name)]
    others = [each for each in visible if not bounds.is_photo_name(each.name)]
    if others:
        names = ", ".join(bounds.short_name(each.name) for each in others[:_NAMED])
        remarks.add(
            RemarkReason.PHOTOS_LEFT_OUT,
            f"{len(others)} of {len(visible)} files were skipped, such as {names}: only {bounds.FORMAT_NAMES} files "
            "are read, by their extension.",
        )
    _check_listing(photos, uri, len(others))
    return photos


def _check_listing(photos: list[StoredObject], uri: str, others: int) -> None:
    if len(photos) < bounds.MIN_PHOTOS:
        found = f", only {others} files of other types" if others else ""
        raise DatasetNotFoundError(
            f"There are no photos in {uri}{found}. Put {bounds.FORMAT_NAMES} files directly in that folder "
            "(subfolders are not read)."
        )
    if len(photos) > bounds.MAX_PHOTOS:
        raise DatasetInvalidError(f"{uri} has {len(photos)} photos, more than {bounds.MAX_PHOTOS}. Remove some.")
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
            f"{bounds.MAX_DATASET_BYTES // _MIB}. Make them smaller or remove some."
        )


def _remark_conversions(photos: list[Photo], remarks: Remarks) -> None:
    """Add one remark on all colour conversions."""
    sentences = []
    spaces = Counter(photo.properties.converted_from for photo in photos if photo.properties.converted_from is not None)
    if spaces:
        listed = ", ".join(f"{count} from {name}" for name, count in spaces.most_common(_NAMED))
        sentences.append(f"{spaces.total()} of {len(photos)} photos were converted to sRGB: {listed}.")
    if unreadable := [photo for photo in photos if photo.properties.profile_unreadable]:
        named = unreadable[0].name
        sentences.append(
            f"{len(unreadable)} have an unreadable colour profile, such as {named}, and were treated as sRGB."
        )
    if transparent := [photo for photo in photos if photo.properties.transparent]:
        sentences.append(f"Transparent areas became white in {len(transparent)}, such as {transparent[0].name}.")
    if sentences:
        remarks.add(RemarkReason.PHOTOS_CONVERTED, " ".join(sentences))


def _of(some: list[Photo], photos: list[Photo]) -> str:
    return f"{len(some)} of {len(photos)} photos {'is' if len(some) == 1 else 'are'}"
