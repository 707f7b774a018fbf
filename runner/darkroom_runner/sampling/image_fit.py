"""Fits an image into a clip's frame by cropping or padding, without distortion.

SVD's frames have sides in steps of 64 pixels, so their aspect ratio rarely equals the image's: stretching a 4:3 image
to the frame would make it 5 % wider, and circles elliptical.
"""

from PIL import Image

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.video import VideoFit

Size = tuple[int, int]
"""Width and height in pixels."""


def fit_image(image: Image.Image, frame_px: Size, fit: VideoFit) -> Image.Image:
    """The image at `frame_px`: cropped equally at two edges, or centred between two black bars."""
    inner_px = frame_px if fit is VideoFit.CROP else _inner_size(image.size, frame_px)
    scaled = image.resize(inner_px, Image.Resampling.LANCZOS, box=_box(image.size, inner_px))
    if inner_px == frame_px:
        return scaled
    frame = Image.new(image.mode, frame_px, "black")
    frame.paste(scaled, ((frame_px[0] - inner_px[0]) // 2, (frame_px[1] - inner_px[1]) // 2))
    return frame


def fit_remark(image_px: Size, frame_px: Size, fit: VideoFit) -> tuple[RemarkReason, str] | None:
    """A remark on what is cropped or padded; None if that is less than one row or column of pixels."""
    sizes = f"The image's {image_px[0]}×{image_px[1]} pixels and the clip's {frame_px[0]}×{frame_px[1]}"
    reason = f"{sizes} have different aspect ratios"
    if fit is VideoFit.PAD:
        inner = _inner_size(image_px, frame_px)
        across, down = frame_px[0] - inner[0], frame_px[1] - inner[1]
        where = f"{across} columns left and right" if across else f"{down} rows at top and bottom"
        message = f"{reason}: in total {where} of the clip are black. Set video.fit to Crop to avoid black bars."
        return (RemarkReason.PICTURE_PADDED, message) if across or down else None
    left, top, right, bottom = _box(image_px, frame_px)
    across, down = round(image_px[0] - (right - left)), round(image_px[1] - (bottom - top))
    where = f"{across} columns left and right" if across else f"{down} rows at top and bottom"
    message = f"{reason}: in total {where} of the image were cropped. Set video.fit to Pad to keep them."
    return (RemarkReason.PICTURE_CROPPED, message) if across or down else None


def _inner_size(image_px: Size, frame_px: Size) -> Size:
    """The largest size that fits into the frame with the image's aspect ratio, rounded to pixels."""
    scale = min(frame_px[0] / image_px[0], frame_px[1] / image_px[1])
    width, height = (max(1, round(length * scale)) for length in image_px)
    return min(width, frame_px[0]), min(height, frame_px[1])


def _box(image_px: Size, target_px: Size) -> tuple[float, float, float, float]:
    """The largest centred part of the image with the target's aspect ratio: left, top, right, bottom."""
    scale = min(image_px[0] / target_px[0], image_px[1] / target_px[1])
    width, height = min(target_px[0] * scale, image_px[0]), min(target_px[1] * scale, image_px[1])
    left, top = (image_px[0] - width) / 2, (image_px[1] - height) / 2
    return left, top, left + width, top + height
