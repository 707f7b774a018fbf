"""Masks of photos for the masked loss: checks, and reading them. Imports no torch.

A mask is a grey picture of its photo, in any size: what is white is learned. A photo without one may have transparent
parts instead.
"""

from pathlib import Path

from PIL import Image

from darkroom_contract.photos import reading as photo_reading
from darkroom_contract.photos.decoder import PhotoDecoder
from darkroom_contract.photos.errors import PhotoError
from darkroom_runner.errors import DatasetInvalidError

_ASPECT_RATIO_TOLERANCE = 0.02
"""Relative difference of the aspect ratios of a photo and its mask. Rounding of a mask with 64 pixels on a side makes
1.6%."""


def check_mask(path: Path, name: str, photo_px: tuple[int, int], decoder: PhotoDecoder) -> None:
    """Decode a mask completely in the decoder's process, then check it against its photo's size. `name` is used in
    messages. Raises `DatasetInvalidError`."""
    try:
        with path.open("rb") as file:
            mask_px = decoder.check(file.fileno(), name).size_px
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error
    one, other = photo_px[0] * mask_px[1], photo_px[1] * mask_px[0]
    if abs(one - other) > _ASPECT_RATIO_TOLERANCE * max(one, other):
        raise DatasetInvalidError(
            f"{name} has {mask_px[0]}×{mask_px[1]} pixels and its photo {photo_px[0]}×{photo_px[1]}: the aspect ratios "
            "differ. Make the mask from the whole photo, in any size."
        )
    require_some(read_mask(path, name), name)


def require_some(mask: Image.Image, name: str) -> None:
    """Raises `DatasetInvalidError` for a mask that is black everywhere: there is nothing to learn."""
    if not mask.getbbox():
        raise DatasetInvalidError(
            f"The mask of {name} is black everywhere, so nothing of the photo would be learned. Make what is to be "
            "learned white (opaque), or remove the photo."
        )


def read_mask(path: Path, name: str) -> Image.Image:
    """A mask's file as a grey picture. Raises `DatasetInvalidError`."""
    try:
        return photo_reading.read_mask(path.read_bytes(), name)
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error


def read_opacity(path: Path, name: str) -> Image.Image:
    """A photo's opacity as a grey picture. Raises `DatasetInvalidError`."""
    try:
        return photo_reading.read_opacity(path.read_bytes(), name)
    except PhotoError as error:
        raise DatasetInvalidError(str(error)) from error
