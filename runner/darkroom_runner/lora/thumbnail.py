"""The thumbnail in a LoRA file's header (`modelspec.thumbnail`), which model browsers show."""

import base64
import io

from PIL import Image

MAX_THUMBNAIL_BYTES = 20_000
"""Of the data URI: every reader of the header parses it."""

_SIDES_PX = (256, 192, 128, 96, 64)
_QUALITIES = (85, 70, 50)


def thumbnail_uri(image: Image.Image) -> str:
    """A data URI with the largest JPEG of the image that fits into `MAX_THUMBNAIL_BYTES`; the longer side is at most
    256 px."""
    uri = ""
    for side in _SIDES_PX:
        small = image.convert("RGB")
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            uri = _jpeg_uri(small, quality)
            if len(uri) <= MAX_THUMBNAIL_BYTES:
                return uri
    return uri


def _jpeg_uri(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
