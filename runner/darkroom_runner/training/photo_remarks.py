"""Remarks on what scaling, cropping and the text encoders lose of photos and captions. Imports no torch."""

from collections.abc import Sequence
from typing import Any

from darkroom_contract.remarks import RemarkReason
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.prompt_length import find_truncated
from darkroom_runner.training.buckets import Framing
from darkroom_runner.training.dataset import Photo

_NAMED = 3
"""Number of files that a remark names; the others are counted."""

_UPSCALED_BEYOND = 2
"""Enlarging more than this blurs visibly: fewer than a quarter of the pixels are original."""

_KEPT_AT_LEAST = 2 / 3
"""Part of a photo. At SDXL's size, a photo that is more than six times as wide as high loses more."""


def remark_upscaled(photos: Sequence[Photo], framing: Framing, remarks: Remarks) -> None:
    """Add the remark `PhotosUpscaled` for photos that are too small for the training size."""
    small = [photo for photo in photos if framing.frame(photo.size_px).enlargement > _UPSCALED_BEYOND]
    if small:
        remarks.add(
            RemarkReason.PHOTOS_UPSCALED,
            f"{_of(small, photos)} enlarged more than twice to the training size of {framing.side_px} pixels, such as "
            f"{_some(small)}: the LoRA learns their blur. Use larger photos, or a lower training.resolution.",
        )


def remark_cropped(photos: Sequence[Photo], framing: Framing, remarks: Remarks) -> None:
    """Add the remark `PictureCropped` for photos of which much is outside of their bucket."""
    if not framing.buckets:
        return
    cropped = [photo for photo in photos if framing.frame(photo.size_px).kept < _KEPT_AT_LEAST]
    if cropped:
        remarks.add(
            RemarkReason.PICTURE_CROPPED,
            f"{_of(cropped, photos)} cropped by more than a third to the nearest bucket, such as {_some(cropped)}: "
            "only the middle is learned. Crop them to their subject, or set training.cropping to Square, which also "
            "shows both ends.",
        )


def remark_truncated_captions(pipeline: Any, photos: Sequence[Photo], remarks: Remarks) -> None:
    """Add the remark `CaptionsLeftOut` for captions that are longer than the text encoders read."""
    captions = {str(index): photo.caption for index, photo in enumerate(photos) if photo.caption}
    truncated = find_truncated(pipeline, captions)
    if truncated:
        named = photos[int(truncated[0].field)].name
        remarks.add(
            RemarkReason.CAPTIONS_LEFT_OUT,
            f"{len(truncated)} of {len(captions)} captions have more than the {truncated[0].limit} tokens that the "
            f"text encoders read, such as that of {named}. Not read: '{truncated[0].excerpt}'. Shorten them, or move "
            "the important words to the front.",
        )


def _of(some: Sequence[Photo], photos: Sequence[Photo]) -> str:
    return f"{len(some)} of {len(photos)} photos {'is' if len(some) == 1 else 'are'}"


def _some(photos: Sequence[Photo]) -> str:
    return ", ".join(f"{each.name} ({each.size_px[0]}×{each.size_px[1]})" for each in photos[:_NAMED])
