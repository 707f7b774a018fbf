"""The photos of a training run: fetched, checked, upright and in RGB. Called by `train_job`.

The gateway has checked what it took in; a job from YAML skips that door, so everything is checked again here, by
the same bounds. What a photo is called in the bucket never becomes the name of a local file.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from darkroom_contract import photos as bounds
from darkroom_contract.storage import parse_uri
from darkroom_runner.errors import DatasetInvalidError, DatasetNotFoundError
from darkroom_runner.storage import NoSuchBucketError, Storage, StoredObject

log = logging.getLogger(__name__)

_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_ADVICE = "Replace it with a whole JPEG, PNG or WebP picture, or take it out of the dataset."
_MIB = 1024**2


@dataclass(frozen=True)
class Photo:
    """One photo, ready to be trained on."""

    name: str
    picture: Image.Image
    """RGB, turned upright."""


def fetch_photos(storage: Storage, uri: str, folder: Path) -> list[Photo]:
    """Download and check every photo under `uri`.

    Raises `DatasetNotFoundError` when there are none and `DatasetInvalidError` when one can't be used.
    """
    bucket, prefix = parse_uri(uri)
    listed = _list_photos(storage, bucket, prefix, uri)
    photos = []
    for number, stored in enumerate(listed):
        path = folder / f"photo-{number:03d}"
        storage.download(bucket, stored.key, path)
        photos.append(Photo(stored.name, read_photo(path, stored.name)))
        path.unlink()
    log.info("checked %d photos of %s", len(photos), uri)
    return photos


def _list_photos(storage: Storage, bucket: str, prefix: str, uri: str) -> list[StoredObject]:
    try:
        entries = storage.list_folder(bucket, prefix)
    except NoSuchBucketError as error:
        raise DatasetNotFoundError(f"There is no bucket {bucket!r}. Correct dataset.uri, which is {uri}.") from error
    photos = [each for each in entries if Path(each.name).suffix.lower() in _EXTENSIONS]
    _check_listing(photos, uri)
    return photos


def _check_listing(photos: list[StoredObject], uri: str) -> None:
    if len(photos) < bounds.MIN_PHOTOS:
        raise DatasetNotFoundError(
            f"No photos lie in {uri}. Put JPEG, PNG or WebP files right there (folders below it are not looked into)."
        )
    if len(photos) > bounds.MAX_PHOTOS:
        raise DatasetInvalidError(f"{uri} holds {len(photos)} photos, more than {bounds.MAX_PHOTOS}. Take some out.")
    for photo in photos:
        if photo.size_bytes > bounds.MAX_PHOTO_BYTES:
            raise DatasetInvalidError(
                f"{photo.name} has {photo.size_bytes / _MIB:.0f} MiB, more than {bounds.MAX_PHOTO_BYTES // _MIB}. "
                "Make it smaller."
            )
    total = sum(photo.size_bytes for photo in photos)
    if total > bounds.MAX_DATASET_BYTES:
        raise DatasetInvalidError(
            f"The photos in {uri} have {total / _MIB:.0f} MiB together, more than "
            f"{bounds.MAX_DATASET_BYTES // _MIB}. Make them smaller or take some out."
        )


def read_photo(path: Path, name: str) -> Image.Image:
    """A photo as upright RGB. `name` is what messages call it. Raises `DatasetInvalidError`."""
    with (
        _undecodable_is_invalid(name),
        _bombs_are_errors(),
        Image.open(path, formats=tuple(bounds.FORMATS)) as image,
    ):
        _check_size(image, name)
        image.load()
        return _rgb(ImageOps.exif_transpose(image))


def _check_size(image: Image.Image, name: str) -> None:
    """Only the header was read so far: an oversized picture is refused before it takes memory."""
    width, height = image.size
    if width * height > bounds.MAX_PIXELS or max(width, height) > bounds.MAX_SIDE_PX:
        raise DatasetInvalidError(
            f"{name} has {width}×{height} pixels; at most {bounds.MAX_SIDE_PX} a side and {bounds.MAX_PIXELS} in all "
            "are taken. Make it smaller."
        )
    if min(width, height) < bounds.MIN_SIDE_PX:
        raise DatasetInvalidError(
            f"{name} has {width}×{height} pixels; at least {bounds.MIN_SIDE_PX} a side are needed. Use a larger photo."
        )


def _rgb(image: Image.Image) -> Image.Image:
    """RGB; what is transparent becomes white, as on paper."""
    if image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to white instead of scaling it.
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


@contextmanager
def _bombs_are_errors() -> Iterator[None]:
    """Pillow only warns of a picture that is somewhat too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # Pillow's other remarks (odd EXIF, palettes) are no reason to refuse a photo.
        yield


@contextmanager
def _undecodable_is_invalid(name: str) -> Iterator[None]:
    """Pillow's decoders raise these for files that are no pictures, truncated, or made to exhaust memory."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DatasetInvalidError(f"{name} has too many pixels. Make it smaller.") from error
    except UnidentifiedImageError as error:
        raise DatasetInvalidError(
            f"{name} is no JPEG, PNG or WebP picture, whatever its name says. {_ADVICE}"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DatasetInvalidError(f"{name} is broken or cut short ({error}). {_ADVICE}") from error
