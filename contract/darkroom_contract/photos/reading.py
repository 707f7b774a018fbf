"""The one reading of photos: what the gateway accepts is what the runner can read, because both call this.

`check_photo` decodes a photo completely and says what it is; `read_photo` gives its picture as the photographer saw
it: upright, in sRGB, on white where it is transparent. Both refuse by `PhotoError`, which names the photo, and by
nothing else but a MemoryError. With `colour` the only part of the contract that imports an image library;
the operator never imports it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pi_heif
from PIL import Image, ImageChops, UnidentifiedImageError

from darkroom_contract.photos import exif as photo_exif
from darkroom_contract.photos import limits as bounds
from darkroom_contract.photos.colour import ColourSpace, colour_space, to_srgb
from darkroom_contract.photos.containers import Container, take_apart
from darkroom_contract.photos.errors import PhotoError, PhotoProperties, UndecodableError

# Sizes are checked against our own bounds right after a header was read, before anything is decoded. Pillow's check
# comes earlier, has other bounds, and can only be set for the whole process.
Image.MAX_IMAGE_PIXELS = None

# The pictures that a HEIC carries beside its photo are never shown; a thumbnail must not be taken for it.
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation (EXIF 2.32, 4.6.4)."""
_ON_ITS_SIDE = range(5, 9)
_STRIP_ROWS = 256


def check_photo(content: bytes, name: str) -> PhotoProperties:
    """Decode a whole file, with as little memory as its format allows. Raises `PhotoError`, naming it `name`.

    Converts a strip at a time: of 16-bit grey with 100 megapixels a whole conversion takes 800 MB more.
    """
    found = _decode(content, name, least_px=0)
    space = found.space
    return PhotoProperties(
        found.extension,
        found.size_px,
        space.name,
        space.unreadable,
        _has_transparent_parts(found.image),
        _is_black(found.image),
    )


def read_photo(content: bytes, name: str, least_px: int | None = None) -> Image.Image:
    """A photo's picture: RGB, sRGB, upright. Raises `PhotoError`, naming it `name`.

    With `least_px` a JPEG of several times that size is decoded at a half, a quarter or an eighth, so long as its
    shorter side keeps that many pixels and no pixel is lost at an edge: a quarter of the memory or less, and sooner.
    """
    found = _decode(content, name, least_px)
    return _upright(_on_white(to_srgb(_plain(found.image), found.space)), found.orientation)


def read_mask(content: bytes, name: str) -> Image.Image:
    """A mask's picture: grey, upright, black where it is transparent. Raises `PhotoError`, naming it `name`."""
    found = _decode(content, name, None)
    return _upright(_grey(_plain(found.image)), found.orientation)


def read_opacity(content: bytes, name: str) -> Image.Image:
    """A photo's alpha channel, upright; 255 where it is opaque. Raises `PhotoError`, naming it `name`."""
    found = _decode(content, name, None)
    picture = _plain(found.image)
    alpha = picture.getchannel("A") if picture.mode.endswith("A") else Image.new("L", picture.size, 255)
    return _upright(alpha, found.orientation)


@dataclass(frozen=True)
class _Decoded:
    """A decoded photo, not yet turned or converted."""

    extension: str
    image: Image.Image
    """In whatever mode its format gives it; see `_plain`."""
    size_px: tuple[int, int]
    """Upright, before any reduction."""
    orientation: int
    space: ColourSpace


def _decode(content: bytes, name: str, least_px: int | None) -> _Decoded:
    container = take_apart(content)
    _check_scans(name, container.scans)
    if container.size_px is not None:
        _check_dimensions(name, *container.size_px)
    with _undecodable_named(name, container) as header:
        image: Image.Image = Image.open(io.BytesIO(container.content), formats=tuple(bounds.FORMATS))
        size, extension = image.size, bounds.FORMATS[str(image.format)]
        header.size_px = size
        _check_dimensions(name, *size)
        if least_px is not None and extension == "jpg":
            image.draft(image.mode, _reduced(size, least_px))
        image.load()
        if image.mode in ("P", "PA"):
            image = _plain(image)  # Whole: a strip gets a palette of its own where the picture lacks one.
        mode = _plain(_strip(image, 0, 1)).mode
    if extension != "jpg":
        size = image.size  # libheif may correct it while decoding.
        _check_dimensions(name, *size)
    exif = container.exif or image.info.get("exif") or b""
    # libheif has turned a HEIC already; of an AVIF, Pillow gives the turn that is due as EXIF of its own making.
    orientation = 1 if image.format == "HEIF" else photo_exif.orientation(exif)
    space = _space(image, mode, container, exif)
    return _Decoded(extension, image, size[::-1] if orientation in _ON_ITS_SIDE else size, orientation, space)


def _reduced(size: tuple[int, int], least_px: int) -> tuple[int, int]:
    """To which size libjpeg decodes a photo; the smallest there is when any will do."""
    if least_px == 0:
        return (1, 1)
    width, height = size
    for part in (8, 4, 2):
        if width % part == height % part == 0 and min(size) // part >= least_px:
            return (width // part, height // part)
    return size


@dataclass
class _Header:
    """What was read before the pixels."""

    size_px: tuple[int, int] | None = None


@contextmanager
def _undecodable_named(name: str, container: Container) -> Iterator[_Header]:
    """Decoders raise OSError, SyntaxError, ValueError, struct.error, RuntimeError and more, by format and damage."""
    header = _Header(container.size_px)
    try:
        yield header
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, UnidentifiedImageError) and not container.kind:
            advice = f"Replace it with a {bounds.FORMAT_NAMES} picture, or take it out."
            raise PhotoError(name, f"is no {bounds.FORMAT_NAMES} picture, whatever its name says", advice) from error
        words = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        why = "its header can't be read" if isinstance(error, UnidentifiedImageError) else words
        raise UndecodableError(name, f"is damaged or cut short ({why})", str(error), header.size_px) from error


def _check_scans(name: str, scans: int) -> None:
    if scans > bounds.MAX_SCANS:
        problem = f"has more than {bounds.MAX_SCANS} scans (passes of a progressive JPEG)"
        raise PhotoError(name, problem, "Save it again with a program for pictures.")


def _check_dimensions(name: str, width: int, height: int) -> None:
    given = f"{width} × {height} pixels"
    if max(width, height) > bounds.MAX_SIDE_PX:
        problem, advice = f"no side may have more than {bounds.MAX_SIDE_PX}", "Scale it down."
    elif width * height > bounds.MAX_PIXELS:
        problem, advice = f"at most {bounds.MAX_PIXELS // 10**6} megapixels are read", "Scale it down."
    elif min(width, height) < bounds.MIN_SIDE_PX:
        problem, advice = f"no side may have less than {bounds.MIN_SIDE_PX}", "Use a larger picture."
    else:
        return
    raise PhotoError(name, f"has {given}: {problem}", advice, given)


def _space(image: Image.Image, mode: str, container: Container, exif: bytes) -> ColourSpace:
    coded = container.primaries_transfer
    profile = image.info.get("icc_profile") if container.profile is None else container.profile
    if container.kind == "PNG" and coded is not None:
        profile = None  # A PNG that has both means its numbers (third edition, 4.3); the others mean their profile.
    is_adobe_rgb = photo_exif.is_adobe_rgb(exif)
    return colour_space(mode, profile, coded, is_adobe_rgb, container.gamma, container.chromaticities)


def _plain(image: Image.Image) -> Image.Image:
    """The picture with 8 bits a channel, as L, LA, RGB, RGBA or CMYK."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow clips 16-bit grey to white instead of scaling it.
        grey = image.convert("I").point(lambda value: value / 257 + 0.5).convert("L")
        transparent = image.info.get("transparency")
        if image.mode == "I;16" and isinstance(transparent, int):
            grey.putalpha(_opaque(image, transparent))
        return grey
    if image.has_transparency_data:
        return image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _opaque(image: Image.Image, transparent: int) -> Image.Image:
    """0 where a picture of mode I;16 has the one value that is transparent, 255 elsewhere; of mode L."""
    content, found = image.tobytes(), []
    for byte, wanted in enumerate(transparent.to_bytes(2, "little")):
        half = Image.frombytes("L", image.size, content[byte::2])
        found.append(half.point([0 if value == wanted else 255 for value in range(256)]))
    return ImageChops.lighter(*found)


def _strip(image: Image.Image, top: int, rows: int) -> Image.Image:
    return image.crop((0, top, image.width, min(top + rows, image.height)))


def _has_transparent_parts(image: Image.Image) -> bool:
    if not _plain(_strip(image, 0, 1)).mode.endswith("A"):
        return False
    tops = range(0, image.height, _STRIP_ROWS)
    return any(_is_transparent(_plain(_strip(image, top, _STRIP_ROWS))) for top in tops)


def _is_transparent(picture: Image.Image) -> bool:
    return picture.getchannel("A").histogram()[255] < picture.width * picture.height


def _is_black(image: Image.Image) -> bool:
    tops = range(0, image.height, _STRIP_ROWS)
    return not any(_grey(_plain(_strip(image, top, _STRIP_ROWS))).getbbox() for top in tops)


def _grey(picture: Image.Image) -> Image.Image:
    """A plain picture as a mask: grey, black where it is transparent."""
    grey = picture.convert("RGB").convert("L") if picture.mode == "CMYK" else picture.convert("L")
    return ImageChops.multiply(grey, picture.getchannel("A")) if picture.mode.endswith("A") else grey


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _on_white(picture: Image.Image) -> Image.Image:
    """What is transparent becomes white, as on paper."""
    if picture.mode == "RGB":
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
