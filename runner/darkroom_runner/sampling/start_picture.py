"""A start image and its mask, fitted to the size of a result. Pixels only; no model is used here.

`start_image` fetches and decodes them. Inpainting uses three forms of the mask:

- the mask itself: white where the prompt paints;
- its soft edge (`alpha`), which blends the painted picture into the start image;
- the latents to paint (`paint_mask`): each whose pixels `alpha` touches, so that every pixel blended in was painted.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.start_image import ImageFit
from darkroom_runner.sampling.picture_size import Size

_LANCZOS, _BILINEAR = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR


@dataclass(frozen=True)
class StartPicture:
    """What image to image starts from."""

    image: Image.Image
    """RGB, of any size."""
    mask: Image.Image | None = None
    """Grey, of the image's size; white where the prompt paints. None changes the whole image."""
    fit: ImageFit = ImageFit.CROP
    blur_px: int = 0
    """Width of the mask's soft edge, in pixels of the result."""

    def fitted(self, size_px: Size) -> "StartPicture":
        """At the size of the result."""
        mask = None if self.mask is None else fit_picture(self.mask, size_px, self.fit, _BILINEAR)
        return StartPicture(fit_picture(self.image, size_px, self.fit, _LANCZOS), mask, self.fit, self.blur_px)

    @property
    def paints_nothing(self) -> bool:
        """Whether the mask has no white: it was cropped away, or is too small to remain after scaling."""
        return self.mask is not None and self.alpha.getbbox() is None

    @property
    def alpha(self) -> Image.Image:
        """How much of the painted picture each pixel has. Needs a mask.

        Half of the soft edge is on each side of the mask's own. A box filter ends there: farther pixels are untouched.
        """
        assert self.mask is not None
        return self.mask.filter(ImageFilter.BoxBlur(self.blur_px / 2)) if self.blur_px else self.mask

    def paint_mask(self, latent_px: int) -> Image.Image:
        """The pixels of all latents that `alpha` touches, white; a latent has `latent_px` pixels a side."""
        alpha = np.asarray(self.alpha)
        height, width = alpha.shape[0] // latent_px, alpha.shape[1] // latent_px
        touched = alpha.reshape(height, latent_px, width, latent_px).max(axis=(1, 3)) > 0
        pixels = touched.repeat(latent_px, axis=0).repeat(latent_px, axis=1)
        return Image.fromarray(pixels.astype(np.uint8) * 255)

    def paste_back(self, painted: Image.Image) -> Image.Image:
        """`painted` inside the mask, and the start image outside; both have the size of the result."""
        return painted if self.mask is None else Image.composite(painted, self.image, self.alpha)


def fit_picture(image: Image.Image, size_px: Size, fit: ImageFit, filter_: Image.Resampling) -> Image.Image:
    """Crop equally at two edges, or add the picture's own edges, repeated, at two sides. It is never stretched."""
    if image.size == size_px:
        return image
    if fit is ImageFit.CROP:
        return ImageOps.fit(image, size_px, filter_)
    # Not `ImageOps.contain`: it rounds the shorter side of a very long picture down to 0.
    scale = min(size / side for size, side in zip(size_px, image.size, strict=True))
    inner_px = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    inner = image.resize(inner_px, filter_)
    across, down = size_px[0] - inner.width, size_px[1] - inner.height
    edges = [(down // 2, down - down // 2), (across // 2, across - across // 2)]
    pixels = np.asarray(inner)
    return Image.fromarray(np.pad(pixels, [*edges, (0, 0)][: pixels.ndim], mode="edge"))


def fit_remark(image_px: Size, size_px: Size, fit: ImageFit) -> tuple[RemarkReason, str] | None:
    """A remark on what is cropped or added; None below one in a hundred pixels, which rounding of the size explains."""
    scales = [size / image for size, image in zip(size_px, image_px, strict=True)]
    scale = max(scales) if fit is ImageFit.CROP else min(scales)
    across, down = (abs(round(image * scale) - size) for size, image in zip(size_px, image_px, strict=True))
    if across <= size_px[0] / 100 and down <= size_px[1] / 100:
        return None
    where = f"{across} columns left and right" if across > down else f"{down} rows at top and bottom"
    sizes = f"startImage has {image_px[0]}×{image_px[1]} pixels and the result {size_px[0]}×{size_px[1]}"
    advice = "Omit images.width and images.height to keep the aspect ratio"
    if fit is ImageFit.CROP:
        message = f"{sizes}: in total {where} of it were cropped. {advice}, or set startImage.fit to Pad."
        return RemarkReason.PICTURE_CROPPED, message
    message = f"{sizes}: in total {where} repeat its edges. {advice}, or set startImage.fit to Crop."
    return RemarkReason.PICTURE_PADDED, message
