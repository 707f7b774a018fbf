"""Sizes of images: the base model's own, that of a start image, and that of the upscaling pass.

Sizes that a job sets are used as they are. Computed ones have sides that the U-Net can halve at each of its levels (32
pixels for SDXL): other sides work too, but its skip connections are then interpolated.
"""

from typing import Any

from darkroom_contract.specs.images import Images

Size = tuple[int, int]
"""Width and height in pixels."""

MAX_SIDE_PX = 2048
"""As the contract's `images.width` and `images.height`."""


def own_side(pipeline: Any) -> int:
    """Side of the base model's native, square images in pixels: 1024 for SDXL."""
    side: int = pipeline.unet.config.sample_size * pipeline.vae_scale_factor
    return side


def side_multiple(pipeline: Any) -> int:
    """What the U-Net can halve at each level: 32 pixels for SDXL, with a VAE of factor 8 and three levels."""
    multiple: int = pipeline.vae_scale_factor * 2 ** (len(pipeline.unet.down_blocks) - 1)
    return multiple


def image_size(pipeline: Any, images: Images, start_px: Size | None) -> Size:
    """The size of the first pass. `start_px` is the size of the start image, if the job has one.

    Sides that the job sets are kept. Without them, the result has the start image's aspect ratio, and as many pixels as
    the base model's native images.
    """
    side = own_side(pipeline)
    if start_px is None:
        return images.width or side, images.height or side
    multiple, ratio = side_multiple(pipeline), start_px[0] / start_px[1]
    if images.width is None and images.height is None:
        return _rounded(side * ratio**0.5, multiple), _rounded(side / ratio**0.5, multiple)
    width = images.width or _rounded((images.height or side) * ratio, multiple)
    return width, images.height or _rounded(width / ratio, multiple)


def upscaled_size(pipeline: Any, image_px: Size, factor: float) -> Size:
    """The size of the upscaling pass."""
    multiple = side_multiple(pipeline)
    width, height = (max(multiple, round(side * factor / multiple) * multiple) for side in image_px)
    return width, height


def _rounded(side: float, multiple: int) -> int:
    return min(max(round(side / multiple), 1) * multiple, MAX_SIDE_PX)
