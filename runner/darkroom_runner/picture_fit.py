"""A picture fitted into a clip's frame without stretching it. Called by `video`; `drawing` reports what it costs.

SVD's frames have sides in steps of 64 pixels, so hardly any picture has exactly their proportions: scaled to the
frame, one of 4:3 would be 5 % wider, and a circle in it an ellipse.
"""

from PIL import Image

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import VideoFit

Size = tuple[int, int]
"""Width and height in pixels."""


def fit_picture(picture: Image.Image, frame_px: Size, fit: VideoFit) -> Image.Image:
    """The picture at `frame_px`, cropped at two edges or between two black bars, both sides alike."""
    inner_px = frame_px if fit is VideoFit.CROP else _inner_size(picture.size, frame_px)
    scaled = picture.resize(inner_px, Image.Resampling.LANCZOS, box=_box(picture.size, inner_px))
    if inner_px == frame_px:
        return scaled
    frame = Image.new(picture.mode, frame_px, "black")
    frame.paste(scaled, ((frame_px[0] - inner_px[0]) // 2, (frame_px[1] - inner_px[1]) // 2))
    return frame


def fit_remark(picture_px: Size, frame_px: Size, fit: VideoFit) -> tuple[RemarkReason, str] | None:
    """What fitting loses or adds, as a remark; None when that is less than a row or column of pixels."""
    of = f"The picture's {picture_px[0]}×{picture_px[1]} pixels don't have the proportions of the clip's"
    of = f"{of} {frame_px[0]}×{frame_px[1]}"
    if fit is VideoFit.PAD:
        inner = _inner_size(picture_px, frame_px)
        across, down = frame_px[0] - inner[0], frame_px[1] - inner[1]
        where = f"{across} columns left and right" if across else f"{down} rows at top and bottom"
        message = f"{of}: {where} of the clip, together, are black. Set video.fit to Crop to have none."
        return (RemarkReason.PICTURE_PADDED, message) if across or down else None
    left, top, right, bottom = _box(picture_px, frame_px)
    across, down = round(picture_px[0] - (right - left)), round(picture_px[1] - (bottom - top))
    where = f"{across} columns left and right" if across else f"{down} rows at top and bottom"
    message = f"{of}: {where} of the picture, together, were cropped. Set video.fit to Pad to keep them."
    return (RemarkReason.PICTURE_CROPPED, message) if across or down else None


def _inner_size(picture_px: Size, frame_px: Size) -> Size:
    """The largest size with the picture's proportions, to a pixel, that fits into the frame."""
    scale = min(frame_px[0] / picture_px[0], frame_px[1] / picture_px[1])
    width, height = (max(1, round(length * scale)) for length in picture_px)
    return min(width, frame_px[0]), min(height, frame_px[1])


def _box(picture_px: Size, target_px: Size) -> tuple[float, float, float, float]:
    """The largest part of the picture, in its middle, with the target's proportions: left, top, right, bottom."""
    scale = min(picture_px[0] / target_px[0], picture_px[1] / target_px[1])
    width, height = min(target_px[0] * scale, picture_px[0]), min(target_px[1] * scale, picture_px[1])
    left, top = (picture_px[0] - width) / 2, (picture_px[1] - height) / 2
    return left, top, left + width, top + height
