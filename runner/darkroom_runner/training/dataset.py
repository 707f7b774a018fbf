"""The photos of a training: download, validation, and decoding one at a time.

The gateway validates uploads, but a job created from YAML bypasses it, so everything is validated again here, with the
same code and limits. Photos are stored in the scratch folder, not in memory. A photo's name in the bucket is never used
as a local file name.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos import reading as photo_reading
from darkroom_contract.photos.decoder import DecodingLimits, PhotoDecoder
from darkroom_contract.photos.errors import PhotoError, PhotoProperties
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import parse_uri
from darkroom_runner.errors import DatasetInvalidError, DatasetNotAllowedError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import Storage, StoredObject
from darkroom_runner.training import masks
from darkroom_runner.training.captions import one_line, read_caption
from darkroom_runner.training.companions import ListedPhoto
from darkroom_runner.training.listing import list_datasets

log = logging.getLogger(__name__)

_NAMED = 3
"""Number of files that a remark names; the others are counted."""

CHECK_LIMITS = DecodingLimits(memory_bytes=3 * 1024**3, seconds=120)
"""Above the gateway's defaults (1 GiB, 20 s), so that every accepted photo fits. Without limits, a photo could exhaust
the run's memory or deadline, and the failure would not name the photo."""


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

    @property
    def has_mask(self) -> bool:
        """Whether a masked loss does not learn all of it equally."""
        return self.mask is not None or self.properties.transparent

    def read_mask(self) -> Image.Image | None:
        """What to learn of it, as a grey picture of the whole photo: its mask, or else its opacity. None for all."""
        if self.mask is not None:
            return masks.read_mask(self.mask, self.name)
        return masks.read_opacity(self.path, self.name) if self.properties.transparent else None

    def read(self, least_px: int | None = None) -> Image.Image:
        """Decode the photo with `read_photo`; nothing is cached."""
        return read_photo(self.path, self.name, least_px)


def require_allowed(uri: str, namespace: str, policy: DatasetPolicy) -> None:
    """Raises `DatasetNotAllowedError` unless jobs of `namespace` may read `uri`. Call it before the first request."""
    fault = policy.fault(uri, namespace)
    if fault is not None:
        raise DatasetNotAllowedError(fault)


def fetch_datasets(
    storage: Storage,
    datasets: Mapping[str, Dataset],
    folder: Path,
    masked: bool,
    remarks: Remarks,
    on_photo: Callable[[int, int], None],
) -> dict[str, list[Photo]]:
    """Download and validate the photos of all datasets, by the path of their field, with captions and masks.

    Skipped files and conversions are added to `remarks`. Masks are read only for a masked loss (`masked`). `on_photo`
    is called before the first photo and after each, with the number of photos done and their total. Raises
    `DatasetNotFoundError` if a dataset has none and `DatasetInvalidError` if a file can't be used.
    """
    listings = list_datasets(storage, datasets, masked, remarks)
    total = sum(len(each.photos) for each in listings.values())
    photos: dict[str, list[Photo]] = {path: [] for path in listings}
    files = [(path, each) for path, listing in listings.items() for each in listing.photos]
    on_photo(0, total)
    with _photo_decoder() as decoder:
        for number, (path, listed) in enumerate(files):
            download = _Download(storage, datasets[path], folder / f"photo-{number:03d}")
            photos[path].append(download.photo(listed, masked, decoder))
            on_photo(number + 1, total)
    log.info("validated %d photos of %s", total, ", ".join(each.uri for each in datasets.values()))
    _remark_conversions([photo for of_dataset in photos.values() for photo in of_dataset], masked, remarks)
    return photos


@dataclass(frozen=True)
class _Download:
    """Downloads a photo and the files beside it."""

    storage: Storage
    dataset: Dataset
    path: Path
    """Of the photo; those of the other files begin with it."""

    def photo(self, listed: ListedPhoto, masked: bool, decoder: PhotoDecoder) -> Photo:
        self._get(listed.photo, self.path)
        photo = check_photo(self.path, bounds.short_name(listed.photo.name), decoder)
        photo = replace(photo, caption=self._caption(listed))
        if not masked:
            return photo
        if listed.mask is None:
            opacity = photo.read_mask()
            if opacity is not None:
                masks.require_some(opacity, photo.name)
            return photo
        mask = self.path.with_suffix(".mask")
        self._get(listed.mask, mask)
        masks.check_mask(mask, bounds.short_name(listed.mask.name), photo.size_px, decoder)
        return replace(photo, mask=mask)

    def _caption(self, listed: ListedPhoto) -> str | None:
        captions = self.dataset.captions or {}
        if listed.photo.name in captions:
            return one_line(captions[listed.photo.name]) or None
        if listed.caption is None:
            return None
        path = self.path.with_suffix(".txt")
        self._get(listed.caption, path)
        return read_caption(path, bounds.short_name(listed.caption.name))

    def _get(self, file: StoredObject, path: Path) -> None:
        bucket, _ = parse_uri(self.dataset.uri)
        self.storage.download(bucket, file.key, path)


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


def _remark_conversions(photos: list[Photo], masked: bool, remarks: Remarks) -> None:
    """Add one remark on all conversions."""
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
        mask = " and serve as their mask" if masked and not all(photo.mask for photo in transparent) else ""
        sentences.append(f"Transparent areas became white in {len(transparent)}, such as {transparent[0].name}{mask}.")
    if sentences:
        remarks.add(RemarkReason.PHOTOS_CONVERTED, " ".join(sentences))
