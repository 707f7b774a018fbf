"""A photo's file taken apart: what decodes to pixels on one side, what says how they are meant on the other.

Called by `reading` before an image library sees the file. Pillow refuses a whole photo over a part that shows
nothing: a PNG over a long text or a short pHYs, a JPEG over an empty profile, an AVIF over one odd EXIF tag. So
those parts never reach it. Nothing here decodes or raises: a broken structure is passed on, and the decoder rejects it.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from darkroom_contract.photos import limits as bounds

MAX_PROFILE_BYTES = 16 * 1024**2
"""Of an ICC profile that PNG compresses; those of printing presses have up to 4 MB."""

_MAX_PARTS = 100_000
"""Of one file; anything after them is passed on unchanged. A photo has hundreds, at most some thousands."""

_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
"""What a decoder acts on behind the first scan. In coded data 0xFF is followed by 0 or a restart marker alone."""
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_COLOURS = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
_BRANDS = frozenset(
    {b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


@dataclass(frozen=True)
class Container:
    """A photo's file, taken apart."""

    kind: str
    """Its format by its first bytes: JPEG, PNG, WEBP, ISOBMFF (AVIF and HEIC), or an empty string."""
    content: bytes
    """What a decoder needs; a file of the same format."""
    exif: bytes = b""
    scans: int = 0
    """Of a JPEG: how often its decoder goes through the whole picture. Counted up to `MAX_SCANS` and one more."""
    profile: bytes | None = None
    """ICC. Of JPEG and PNG only: the other formats' decoders hand it out unharmed."""
    primaries_transfer: tuple[int, int] | None = None
    """Colour primaries and transfer characteristics by ITU-T H.273, of PNG (cICP), AVIF and HEIC (nclx)."""
    gamma: float | None = None
    """Of a PNG without any of those: the exponent by which its numbers become light (1 / gAMA)."""
    chromaticities: tuple[float, ...] | None = None
    """Of the same: x and y of white, red, green and blue (cHRM)."""
    size_px: tuple[int, int] | None = None
    """Of WebP, whose decoder takes memory for the whole picture before it says how large that is."""


def take_apart(content: bytes) -> Container:
    """The parts of a photo. Its first bytes decide its format, whatever its name says."""
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(_PNG_SIGNATURE):
        return _png(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return Container("WEBP", content, size_px=_webp_size(content))
    if content[4:8] == b"ftyp" and content[8:12] in _BRANDS:
        return _isobmff(content)
    return Container("", content)


# --- JPEG (ITU-T T.81, annex B) ------------------------------------------------------------------------------------


def _jpeg(content: bytes) -> Container:
    """Keeps JFIF and Adobe segments, which say how the components are coded; drops all others that applications add.

    Without its MPF segment the JPEG of a phone with a second picture is read as the first one alone.
    """
    kept, exif, chunks, at = [content[:2]], b"", {}, 2
    for marker, start, end in islice(_jpeg_segments(content), _MAX_PARTS):
        body = content[start + 4 : end]
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            exif = exif or body
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
            chunks[body[12]] = body[14:]
        if _says_how_coded(marker, body):
            kept.append(content[start:end])
        at = end
    profile = b"".join(chunks[number] for number in sorted(chunks)) or None
    return Container("JPEG", b"".join([*kept, content[at:]]), exif, _scans(content, at), profile)


def _scans(content: bytes, at: int) -> int:
    """Scans from the first one on, to the end of the image; data after it (a video, for example) is never decoded.

    Goes from marker to marker as libjpeg does. Stops once there are too many scans; a file of more segments than
    any encoder writes has too many, too.
    """
    scans, end = 0, at
    for _ in range(_MAX_PARTS):
        found = _JPEG_MARKER.search(content, end)
        marker = content[found.start() + 1] if found else _EOI
        if found is None or marker in (_SOI, _EOI):
            return scans
        scans += marker == _SOS
        if scans > bounds.MAX_SCANS:
            return scans
        end = found.end() + max(2, int.from_bytes(content[found.end() : found.end() + 2]))
    return bounds.MAX_SCANS + 1


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment before the first scan."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        if marker == 0xDA or not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xD9 or not at + 4 <= end <= len(content):
            return
        yield marker, at, end
        at = end


def _says_how_coded(marker: int, body: bytes) -> bool:
    if marker == 0xE0:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


# --- PNG (third edition) -------------------------------------------------------------------------------------------


def _png(content: bytes) -> Container:
    """Keeps what makes pixels. Animations lose all but their first picture, which other PNG readers show too."""
    kept, found, at = [_PNG_SIGNATURE], dict[bytes, bytes](), len(_PNG_SIGNATURE)
    for kind, start, end in islice(_png_chunks(content), _MAX_PARTS):
        if kind in _PNG_PIXELS:
            kept.append(content[start:end])
        elif kind in _PNG_COLOURS or kind == b"eXIf":
            found[kind] = content[start + 8 : end - 4]
        at = end
        if kind == b"IEND":
            break
    else:
        kept.append(content[at:])
    profile, colour = found.get(b"iCCP"), found.get(b"cICP", b"")
    return Container(
        "PNG",
        b"".join(kept),
        found.get(b"eXIf", b""),
        profile=None if profile is None else _inflated(profile.partition(b"\0")[2][1:]),
        primaries_transfer=(colour[0], colour[1]) if len(colour) == 4 else None,
        gamma=_png_gamma(found),
        chromaticities=_png_chromaticities(found),
    )


def _png_gamma(found: dict[bytes, bytes]) -> float | None:
    """The other colour chunks come before it. Beyond 0.1 to 10 it is an error (0 is a common one)."""
    value = int.from_bytes(found.get(b"gAMA", b""))
    known = found.keys() & {b"cICP", b"iCCP", b"sRGB"} or len(found.get(b"gAMA", b"")) != 4
    return None if known or not 10_000 <= value <= 1_000_000 else 100_000 / value


def _png_chromaticities(found: dict[bytes, bytes]) -> tuple[float, ...] | None:
    body = found.get(b"cHRM", b"")
    if found.keys() & {b"cICP", b"iCCP", b"sRGB"} or len(body) != 32:
        return None
    return tuple(value / 100_000 for value in struct.unpack(">8L", body))


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each whole chunk."""
    at = len(_PNG_SIGNATURE)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4])
        if end > len(content):
            return
        yield content[at + 4 : at + 8], at, end
        at = end


def _inflated(compressed: bytes) -> bytes:
    """A profile, or what can't be one where it is broken or too long."""
    try:
        return zlib.decompressobj().decompress(compressed, MAX_PROFILE_BYTES)
    except zlib.error:
        return b""


# --- WebP (RFC 9649) -----------------------------------------------------------------------------------------------


def _webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height by the first chunk: of the canvas, of a lossless or of a lossy picture."""
    kind, body = content[12:16], content[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    return None


# --- AVIF and HEIC (ISO/IEC 23008-12) ------------------------------------------------------------------------------

_CHILDREN = {b"": {b"meta"}, b"meta": {b"iinf", b"iprp"}, b"iprp": {b"ipco"}}
"""Boxes that are parsed, by their parent box."""


def _isobmff(content: bytes) -> Container:
    """Hides EXIF from the decoder. These formats turn pictures by a property of their own, which overrules it."""
    changed, colour = bytearray(content), None
    for kind, start, end in islice(_boxes(content, 0, len(content)), _MAX_PARTS):
        body = content[start:end] if kind in (b"infe", b"colr") else b""
        if kind == b"infe" and body[:1] in (b"\2", b"\3"):
            at = start + (8 if body[0] == 2 else 10)
            if content[at : at + 4] == b"Exif":
                changed[at : at + 4] = b"skip"
        elif body.startswith(b"nclx") and len(body) >= 10 and colour is None:
            colour = struct.unpack(">HH", body[4:8])
    return Container("ISOBMFF", bytes(changed), primaries_transfer=colour)


def _boxes(content: bytes, start: int, end: int, parent: bytes = b"") -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each box of a parent, and of the boxes in those that are looked into."""
    at = start
    while at + 8 <= end:
        length, kind, head = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(content[at + 8 : at + 16]), 16
        box_end = at + length if length else end
        if box_end < at + head or box_end > end:
            return
        yield kind, at + head, box_end
        if kind in _CHILDREN.get(parent, ()):
            yield from _boxes(content, at + head + _before_children(content, at + head, kind), box_end, kind)
        at = box_end


def _before_children(content: bytes, start: int, kind: bytes) -> int:
    """Bytes between the start of a box's content and its first child: version, flags, and the count of `iinf`."""
    if kind == b"iinf":
        return 6 if content[start : start + 1] == b"\0" else 8
    return 4 if kind == b"meta" else 0
