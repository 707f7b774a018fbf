"""Writes image files: PNG, JPEG, WebP or AVIF, each with the same metadata. Called by the generate and train tasks.

| | PNG | JPEG, WebP, AVIF |
|---|---|---|
| `parameters` of the web UIs | text chunk | EXIF UserComment, as A1111 writes it |
| XMP: digital source type, settings as JSON | iTXt `XML:com.adobe.xmp` | APP1 segment, `XMP ` chunk, XMP item |
| settings as JSON | iTXt `darkroom` | in the XMP |
| colours | sRGB chunk | EXIF ColorSpace 1 (sRGB) |

Equal images with equal metadata give equal files.
"""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom_contract.specs.images import ImageFormat, Images
from darkroom_runner.errors import DiskFullError, InternalError, first_line, is_disk_full, translate
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.tasks.web_ui_parameters import web_ui_parameters
from darkroom_runner.tasks.xmp import creator_tool, xmp_packet

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

MAX_GRID_SIDE_PX = 4096
"""Larger grids are reduced. Browsers and phones show this size; the images themselves have all pixels."""
FULL_CHROMA_QUALITY = 90
"""From this quality on, JPEG and AVIF keep the colours of every pixel (4:4:4), as ImageMagick's JPEG does; below, of
every 2 by 2 pixels."""

_EXIF_IFD, _SOFTWARE, _USER_COMMENT, _COLOUR_SPACE = 0x8769, 0x0131, 0x9286, 0xA001
_UNICODE = b"UNICODE\0"
_SRGB = 1
_PERCEPTUAL = b"\0"


def save_image(
    image: "Image.Image", path: Path, metadata: dict[str, Any], images: Images, sampler: WebUiSampler
) -> None:
    """Write an image in the job's format; `path` must have the format's suffix.

    Raises `DiskFullError`, and `InternalError` if the encoder fails; no file is left then.
    """
    encoded = io.BytesIO()
    try:
        # Into memory first: Pillow's encoders report a full disk as "encoder error -2" only.
        image.convert("RGB").save(encoded, images.format.value, **_options(metadata, images, sampler))
    except (OSError, ValueError, RuntimeError) as error:
        raise InternalError(
            f"{path.name} ({image.width}x{image.height}) can't be encoded as {images.format}: {first_line(error)}. "
            "Try images.format PNG."
        ) from error
    _write(path, encoded.getvalue())


def save_grid(
    images: Sequence["Image.Image"], path: Path, metadata: dict[str, Any], settings: Images, sampler: WebUiSampler
) -> None:
    """Write all images of a job in one. `metadata` is that of the first; the grid's JSON also lists the seeds."""
    save_image(draw_grid(images), path, metadata, settings, sampler)


def draw_grid(images: Sequence["Image.Image"]) -> "Image.Image":
    """Rows of equally many images, as near to a square number of them as possible, left to right in their order.

    Images have the size of the first one, or less if the grid would be larger than `MAX_GRID_SIDE_PX`.
    """
    from PIL import Image

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    width, height = images[0].size
    scale = min(1.0, MAX_GRID_SIDE_PX / (columns * width), MAX_GRID_SIDE_PX / (rows * height))
    cell = (max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))
    grid = Image.new("RGB", (columns * cell[0], rows * cell[1]))
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        fitted = image if image.size == cell else image.resize(cell, Image.Resampling.LANCZOS)
        grid.paste(fitted, (column * cell[0], row * cell[1]))
    return grid


def png_info(metadata: dict[str, Any], sampler: WebUiSampler) -> "PngInfo":
    """PNG chunks: `parameters`, which image viewers show, `darkroom` with the whole metadata as JSON, XMP, and sRGB."""
    # Imported here, since a run that fails early saves no image.
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add(b"sRGB", _PERCEPTUAL)
    # tEXt, which every reader knows, or iTXt if the text needs more than Latin-1: as A1111 does.
    info.add_text("parameters", web_ui_parameters(metadata, sampler).replace("\0", " "))
    info.add_itxt("darkroom", json.dumps(metadata, ensure_ascii=False))
    info.add_itxt("XML:com.adobe.xmp", xmp_packet(metadata).decode())
    return info


def _options(metadata: dict[str, Any], images: Images, sampler: WebUiSampler) -> dict[str, Any]:
    if images.format is ImageFormat.PNG:
        return {"pnginfo": png_info(metadata, sampler)}
    options = {"quality": images.quality, "exif": _exif(metadata, sampler), "xmp": xmp_packet(metadata)}
    full_chroma = images.quality >= FULL_CHROMA_QUALITY
    match images.format:
        case ImageFormat.JPEG:
            return options | {"subsampling": 0 if full_chroma else 2, "optimize": True}
        case ImageFormat.AVIF:
            return options | {"subsampling": "4:4:4" if full_chroma else "4:2:0"}
    return options | {"method": 4}


def _exif(metadata: dict[str, Any], sampler: WebUiSampler) -> bytes:
    """Big-endian EXIF, whose UserComment is big-endian UTF-16: what piexif writes for A1111."""
    from PIL import Image

    exif = Image.Exif()
    exif.endian = ">"
    exif[_SOFTWARE] = creator_tool(metadata)
    comment = _UNICODE + web_ui_parameters(metadata, sampler).encode("utf-16-be", errors="replace")
    exif.get_ifd(_EXIF_IFD).update({_USER_COMMENT: comment, _COLOUR_SPACE: _SRGB})
    return exif.tobytes()


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        if is_disk_full(error):
            raise DiskFullError(f"{path.name} can't be saved. {translate(error)}") from error
        raise
