"""Photos as cameras, phones and careless programs write them, made on the spot. For tests of several rooms."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import pi_heif
import pillow_heif
from PIL import Image, ImageCms

# The one writes HEIC, the other, which the product has, reads it.
pillow_heif.register_heif_opener()
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

SCENE = {(30, 30): (230, 40, 30), (98, 30): (30, 170, 60), (30, 78): (40, 60, 220), (98, 78): (128, 128, 128)}
"""Where each colour of `scene` is, in sRGB."""

BEST: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "HEIF": {"quality": -1, "chroma": 444},
}
"""By format, how to write it with the least loss."""

PICTURE_FORMATS = tuple(BEST)


def scene() -> Image.Image:
    """128×96 in four colours."""
    picture = Image.new("RGB", (128, 96))
    for (x, y), colour in SCENE.items():
        picture.paste(colour, (x // 64 * 64, y // 48 * 48, x // 64 * 64 + 64, y // 48 * 48 + 48))
    return picture


def encode(picture: Image.Image, kind: str = "PNG", **extra: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **{**BEST.get(kind, {}), **extra})
    return buffer.getvalue()


# --- EXIF ----------------------------------------------------------------------------------------------------------


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag, kind, count) + value.ljust(4, b"\0")


def exif(*entries: bytes, orientation: int | None = 6) -> bytes:
    """A camera's EXIF, on its side unless told otherwise, with more entries behind."""
    entries = entries if orientation is None else (entry(0x112, 3, 1, struct.pack("<H", orientation)), *entries)
    return b"Exif\0\0II*\0" + struct.pack("<LH", 8, len(entries)) + b"".join(entries) + b"\0" * 4


ODD_EXIF = {
    "resolution as text": exif(entry(0x11A, 2, 3, b"72\0")),
    "resolution by zero": exif(entry(0x11A, 5, 1, struct.pack("<L", 0xFFFF))),
    "date as fraction": exif(entry(0x132, 5, 1, struct.pack("<L", 26))),
    "unknown type": exif(entry(0x11A, 99, 1, b"abcd")),
    "sub-IFD outside": exif(entry(0x8769, 4, 1, struct.pack("<L", 0x7FFFFFFF))),
    "sub-IFD as text": exif(entry(0x8769, 2, 4, b"abc\0")),
    "count too large": exif(entry(0x10F, 2, 0x7FFFFFFF, struct.pack("<L", 8))),
    "cut within an entry": exif(entry(0x11A, 5, 1, b"\1"))[:40],
    "nothing behind the header": b"Exif\0\0II*\0",
    "an offset outside": b"Exif\0\0II*\0\xff\xff\xff\xff",
    "no TIFF": b"Exif\0\0I",
}

UNTURNED = {"nothing behind the header", "an offset outside", "no TIFF"}
"""Those of `ODD_EXIF` whose orientation can't be read."""


def with_exif(kind: str, body: bytes) -> bytes:
    """The scene with an EXIF that Pillow's own encoders would refuse to write, in JPEG, PNG or WebP."""
    whole = encode(scene(), kind)
    if kind == "JPEG":
        return whole[:2] + jpeg_segment(0xE1, body) + whole[2:]
    tiff = body.removeprefix(b"Exif\0\0")
    if kind == "PNG":
        return with_chunk(whole, b"eXIf", tiff)
    head = struct.pack("<4sLB3x", b"VP8X", 10, 0x08) + (127).to_bytes(3, "little") + (95).to_bytes(3, "little")
    chunks = head + whole[12:] + struct.pack("<4sL", b"EXIF", len(tiff)) + tiff + b"\0" * (len(tiff) % 2)
    return struct.pack("<4sL4s", b"RIFF", 4 + len(chunks), b"WEBP") + chunks


def odd_avif() -> bytes:
    """Turned by the format's own property, with one EXIF tag of an unexpected type."""
    described = Image.Exif()
    described[0x112], described[0x11A] = 6, 72.0
    whole = encode(scene(), "AVIF", exif=described)
    resolution = struct.pack(">HHL", 0x11A, 5, 1)
    assert whole.count(resolution) == 1
    at = whole.index(resolution)
    return whole[:at] + struct.pack(">HHL", 0x11A, 2, 3) + b"72\0\0" + whole[at + 12 :]


# --- pieces of files -----------------------------------------------------------------------------------------------


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segment(whole: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return whole[:2] + jpeg_segment(marker, body) + whole[2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))


def with_chunk(whole: bytes, kind: bytes, body: bytes, at_end: bool = False) -> bytes:
    """A PNG with one more chunk, before or behind its pixels."""
    at = len(whole) - 12 if at_end else 33
    return whole[:at] + png_chunk(kind, body) + whole[at:]


def with_nclx(whole: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF or HEIC that names other primaries and another transfer, by their numbers, than it was written with."""
    assert whole.count(b"nclx") == 1
    at = whole.index(b"nclx") + 4
    return whole[:at] + struct.pack(">HH", primaries, transfer) + whole[at + 4 :]


# --- colour profiles -----------------------------------------------------------------------------------------------

P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def _s15(*values: float) -> bytes:
    return b"".join(struct.pack(">l", round(value * 65536)) for value in values)


def rgb_profile(name: str, colorants: tuple[tuple[float, ...], ...], gamma: float | None = None) -> bytes:
    """A matrix profile with the colorants given and sRGB's curve, or a gamma."""
    curve = b"para\0\0\0\0\0\3\0\0" + _s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    curve = curve if gamma is None else b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(gamma * 256))
    tags = _named(name) | {bytes((each,)) + b"TRC": curve for each in b"rgb"}
    tags |= {bytes((each,)) + b"XYZ": b"XYZ \0\0\0\0" + _s15(*xyz) for each, xyz in zip(b"rgb", colorants, strict=True)}
    return _profile(b"RGB ", b"mntr", tags)


def grey_profile(gamma: float) -> bytes:
    curve = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(gamma * 256))
    return _profile(b"GRAY", b"mntr", _named("A dark grey") | {b"kTRC": curve})


def cmyk_profile() -> bytes:
    """A press of four perfect inks, each of which takes away all of its part of Lab's lightness; `lut8` of 2⁴ nodes."""
    table = bytes(
        value
        for cyan in (0, 1)
        for magenta in (0, 1)
        for yellow in (0, 1)
        for black in (0, 1)
        for value in (0 if black else 255 - 60 * (cyan + magenta + yellow), 128 - 40 * cyan, 128 + 40 * (yellow - cyan))
    )
    identity = _s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
    ramp = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes((4, 3, 2, 0)) + identity + ramp * 4 + table + ramp * 3
    return _profile(b"CMYK", b"prtr", _named("A press") | {b"A2B0": lut, b"A2B1": lut}, space=b"Lab ")


def _named(name: str) -> dict[bytes, bytes]:
    text = name.encode() + b"\0"
    return {
        b"desc": b"desc\0\0\0\0" + struct.pack(">L", len(text)) + text + b"\0" * 78,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + _s15(0.9642, 1.0, 0.8249),
    }


def _profile(kind: bytes, device: bytes, tags: dict[bytes, bytes], space: bytes = b"XYZ ") -> bytes:
    directory, body, first = b"", b"", 132 + 12 * len(tags)
    for tag, data in tags.items():
        directory += tag + struct.pack(">LL", first + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = first + len(body)
    head = struct.pack(">L4xL4s4s4s12x4s28x", size, 0x02400000, device, kind, space, b"acsp")
    return (head + _s15(0.9642, 1.0, 0.8249)).ljust(128, b"\0") + struct.pack(">L", len(tags)) + directory + body


def shot_in(profile: bytes) -> Image.Image:
    """The scene in a profile's numbers, without the profile."""
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shot = ImageCms.profileToProfile(scene(), ImageCms.createProfile("sRGB"), target, renderingIntent=1)
    assert shot is not None
    del shot.info["icc_profile"]
    return shot


def viewed(content: bytes) -> Image.Image:
    """What a viewer that knows profiles shows of an RGB photo."""
    shot = Image.open(io.BytesIO(content))
    profile = ImageCms.ImageCmsProfile(io.BytesIO(shot.info["icc_profile"]))
    shown = ImageCms.profileToProfile(shot, profile, ImageCms.createProfile("sRGB"), renderingIntent=1)
    assert shown is not None
    return shown


def colour_error(picture: Image.Image, expected: dict[tuple[int, int], tuple[int, int, int]] = SCENE) -> int:
    """The largest difference from the scene's colours, of 255."""
    return max(
        abs(got - want)
        for place, colour in expected.items()
        for got, want in zip(picture.getpixel(place), colour, strict=True)
    )


# --- what gateway and runner must judge alike ----------------------------------------------------------------------


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
        "many pixels": lambda: (_claims_png(15_000, 15_000), "at most 100 megapixels"),
    }
    others = {kind: (encode(scene(), kind), "is no JPEG, PNG") for kind in ("GIF", "BMP", "TIFF", "JPEG2000")}
    empty = {"text": (b"not a picture\n" * 20, "is no JPEG, PNG"), "empty": (b"", "is no JPEG, PNG")}
    palette = encode(scene().convert("P"))
    at = palette.index(b"PLTE") - 4
    without = palette[:at] + palette[at + 12 + int.from_bytes(palette[at : at + 4]) :]
    empty["palette missing"] = (without, "damaged or cut short")
    heic = {"heic of zeros": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500), "damaged or cut short")}
    return cut | {name: make() for name, make in sizes.items()} | others | empty | heic


def _claims_png(width: int, height: int) -> bytes:
    """A few bytes that claim many pixels."""
    header = png_chunk(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100))) + png_chunk(b"IEND", b"")
