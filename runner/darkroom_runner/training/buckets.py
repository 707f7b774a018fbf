"""How photos are scaled and cropped for training: aspect-ratio buckets, or square crops. Pure.

Buckets are as in SDXL's training (arXiv 2307.01952, appendix I): sides in steps of 64 pixels, for each longer side the
largest area that is not above the square's, aspect ratios up to 4. A photo goes to the bucket that crops least of it.
Nearly square photos go to the square, so that they are trained on exactly as with square crops.
"""

import math
from dataclasses import dataclass

from darkroom_contract.specs.training_choices import Cropping

Size = tuple[int, int]
"""Width and height in pixels."""

_NEARLY_SQUARE = 1.1
"""Up to this aspect ratio, a photo is cropped to one square at its centre."""
_MAX_STEP_PX = 64
_STEPS_PER_SIDE = 16
"""SDXL's: 1024 / 64. At lower resolutions, smaller steps keep the areas as equal, if the U-Net can do them."""
_MAX_ELONGATION = 2
"""Of a bucket's longer side over the square's side: an aspect ratio of 4."""


@dataclass(frozen=True)
class Frame:
    """The crops of a photo: the size that the whole photo is scaled to, and windows of one size in it."""

    scaled_px: Size
    size_px: Size
    corners: tuple[tuple[int, int], ...]
    """Top and left of each crop in the scaled photo."""
    enlargement: float
    """Factor from the original to the scaled photo."""

    @property
    def kept(self) -> float:
        """Part of the photo that one crop shows."""
        return self.size_px[0] * self.size_px[1] / (self.scaled_px[0] * self.scaled_px[1])


@dataclass(frozen=True)
class Framing:
    """Chooses the crops of photos."""

    side_px: int
    """The square's side."""
    buckets: tuple[Size, ...] = ()
    """Empty for square crops."""

    def frame(self, size_px: Size) -> Frame:
        """The crops of a photo of that size."""
        if not self.buckets:
            return square_frame(size_px, self.side_px)
        return bucket_frame(size_px, self.bucket(size_px))

    def bucket(self, size_px: Size) -> Size:
        """The bucket that crops least of a photo of that size; the larger one of two equals."""
        if max(size_px) <= _NEARLY_SQUARE * min(size_px):
            return self.side_px, self.side_px
        return nearest(size_px, self.buckets)


def framing(cropping: Cropping, side_px: int, unit_px: int) -> Framing:
    """`unit_px`: the U-Net takes images whose sides are multiples of it."""
    return Framing(side_px, bucket_sizes(side_px, unit_px) if cropping is Cropping.BUCKETS else ())


def bucket_sizes(side_px: int, unit_px: int) -> tuple[Size, ...]:
    """All buckets of a resolution: 33 for SDXL at 1024."""
    step = max(unit_px, min(_MAX_STEP_PX, side_px // _STEPS_PER_SIDE) // unit_px * unit_px)
    sizes = {(side_px, side_px)}
    for longer in range(-(-side_px // step) * step, _MAX_ELONGATION * side_px + 1, step):
        shorter = side_px * side_px // longer // step * step
        if shorter * _MAX_ELONGATION * 2 >= longer:
            sizes |= {(longer, shorter), (shorter, longer)}
    return tuple(sorted(sizes))


def nearest(size_px: Size, sizes: tuple[Size, ...]) -> Size:
    """The size of the nearest aspect ratio; the larger one of two equals."""
    ratio = math.log(size_px[0] / size_px[1])
    return min(sizes, key=lambda each: (abs(math.log(each[0] / each[1]) - ratio), -each[0] * each[1]))


def bucket_frame(size_px: Size, bucket: Size) -> Frame:
    """One crop: the centre of a photo that is scaled until it just covers the bucket."""
    scale = max(of_bucket / of_photo for of_bucket, of_photo in zip(bucket, size_px, strict=True))
    width, height = (max(least, round(length * scale)) for least, length in zip(bucket, size_px, strict=True))
    corner = (round((height - bucket[1]) * 0.5), round((width - bucket[0]) * 0.5))
    return Frame((width, height), bucket, (corner,), scale)


def square_frame(size_px: Size, side_px: int) -> Frame:
    """Square crops: the centre, and both ends of an elongated photo."""
    scale = side_px / min(size_px)
    width, height = (max(side_px, round(length * scale)) for length in size_px)
    offsets = [0.5] if max(width, height) <= _NEARLY_SQUARE * side_px else [0.0, 0.5, 1.0]
    corners = tuple((round((height - side_px) * offset), round((width - side_px) * offset)) for offset in offsets)
    return Frame((width, height), (side_px, side_px), corners, scale)
