"""Photos on which gateway and runner must agree: valid ones, and invalid ones with a word of their error message."""

import struct
import zlib
from collections.abc import Callable
from functools import cache

from PIL import Image

from support.photos import (
    ODD_EXIF,
    P3,
    PICTURE_FORMATS,
    encode,
    grey_profile,
    odd_avif,
    png_chunk,
    rgb_profile,
    scene,
    with_chunk,
    with_exif,
    with_segment,
)


def _modes() -> dict[str, bytes]:
    """Every format in every mode that its encoder writes."""
    modes = {
        "JPEG": ("L", "RGB", "CMYK"),
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "WEBP": ("L", "RGB", "RGBA"),
        "AVIF": ("L", "RGB", "RGBA"),
        "HEIF": ("L", "LA", "RGB", "RGBA", "I;16"),
    }
    drawn = {mode: scene().convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK")}
    drawn["I;16"] = Image.new("I;16", (128, 96), 40_000)
    return {f"{kind} {mode}": encode(drawn[mode], kind) for kind, each in modes.items() for mode in each}


def _coloured() -> dict[str, bytes]:
    p3 = rgb_profile("Display P3", P3)
    profiles = {"Display P3": p3, "cut profile": p3[:200], "no profile": b"x" * 300, "grey profile": grey_profile(1.8)}
    return {
        f"{kind} with {name}": encode(scene(), kind, icc_profile=profile)
        for kind in PICTURE_FORMATS
        for name, profile in profiles.items()
    }


def _metadata() -> dict[str, bytes]:
    jpeg, png, text = encode(scene(), "JPEG"), encode(scene(), "PNG"), zlib.compress(b"a" * 2_000_000)
    found = {
        f"{kind}, EXIF with {name}": with_exif(kind, body)
        for kind in ("JPEG", "PNG", "WEBP")
        for name, body in ODD_EXIF.items()
    }
    found |= {
        "AVIF, odd EXIF": odd_avif(),
        "MPO": encode(scene(), "MPO", save_all=True, append_images=[scene().rotate(180)]),
        "JPEG, broken MPF": with_segment(jpeg, 0xE2, b"MPF\0junkjunkjunk"),
        "JPEG, empty profile": with_segment(jpeg, 0xE2, b"ICC_PROFILE\0"),
        "JPEG, empty JFIF": with_segment(jpeg, 0xE0, b"JFIF\0"),
        "JPEG, cut resource": with_segment(jpeg, 0xED, b"Photoshop 3.0\x008BIM\4\4"),
        "JPEG, a film behind": jpeg + b"\0\0\0\x18ftypmp42" + bytes(5000),
        "PNG, long zTXt": with_chunk(png, b"zTXt", b"parameters\0\0" + text),
        "PNG, long iTXt behind": with_chunk(png, b"iTXt", b"workflow\0\1\0\0\0" + text, at_end=True),
        "PNG, long profile": with_chunk(png, b"iCCP", b"p\0\0" + text),
        "PNG, short pHYs": with_chunk(png, b"pHYs", b"\0"),
        "PNG, short gAMA": with_chunk(png, b"gAMA", b"\0"),
        "PNG, empty acTL": with_chunk(png, b"acTL", b""),
    }
    return found


@cache
def good_photos() -> dict[str, bytes]:
    """By what is odd about them, photos that show the scene and must be read."""
    return _modes() | _coloured() | _metadata()


@cache
def bad_photos() -> dict[str, tuple[bytes, str]]:
    """By what is wrong with them, files that can't be trained on, and a word that says so."""
    noise = Image.effect_noise((128, 96), 60).convert("RGB")
    cut = {
        f"{kind} cut at {percent} %": (whole[: len(whole) * percent // 100], "damaged or cut short")
        for kind in PICTURE_FORMATS
        for whole in [encode(noise, kind)]
        for percent in (20, 50, 90)
    }
    sizes: dict[str, Callable[[], tuple[bytes, str]]] = {
        "narrow": lambda: (encode(Image.new("RGB", (63, 200)), "HEIF"), "63 × 200 pixels"),
        "wide": lambda: (encode(Image.new("L", (16_001, 64)), "PNG"), "16001 × 64 pixels"),
        "many pixels": lambda: (claimed_png(15_000, 15_000), "at most 100 megapixels"),
    }
    others = {kind: (encode(scene(), kind), "is no JPEG, PNG") for kind in ("GIF", "BMP", "TIFF", "JPEG2000")}
    empty = {"text": (b"not a picture\n" * 20, "is no JPEG, PNG"), "empty": (b"", "is no JPEG, PNG")}
    palette = encode(scene().convert("P"))
    at = palette.index(b"PLTE") - 4
    without = palette[:at] + palette[at + 12 + int.from_bytes(palette[at : at + 4]) :]
    empty["palette missing"] = (without, "damaged or cut short")
    heic = {"heic of zeros": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500), "damaged or cut short")}
    return cut | {name: make() for name, make in sizes.items()} | others | empty | heic


def claimed_png(width: int, height: int) -> bytes:
    """A few bytes that claim many pixels."""
    header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
