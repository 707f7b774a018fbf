"""Small photos for tests of training."""

import io
from pathlib import Path

from PIL import Image, ImageDraw

from darkroom_runner.training.dataset import Photo, check_photo


def draw_photo(number: int, side_px: int = 64) -> Image.Image:
    picture = Image.new("RGB", (side_px, side_px), (30 * number % 256, 90, 160))
    inner = side_px // 4
    ImageDraw.Draw(picture).ellipse((inner, inner, side_px - inner, side_px - inner), fill=(240, 40 * number % 256, 20))
    return picture


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def stored_photo(picture: Image.Image, path: Path) -> Photo:
    """Store an image in a file, as after the download."""
    path.write_bytes(png(picture))
    return check_photo(path, path.name)
