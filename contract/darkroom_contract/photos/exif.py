"""The two things in a photo's EXIF that change its look: how the camera was held, and Adobe RGB by DCF.

Read straight from the bytes. Pillow decodes every tag, and one that a careless program wrote raises TypeError,
struct.error, KeyError and more, long after the orientation could have been read. Nothing here raises.
Source: EXIF 2.32 (CIPA DC-008), TIFF 6.0.
"""

import struct

_ORIENTATION, _EXIF_IFD, _INTEROPERABILITY_IFD, _INTEROPERABILITY_INDEX = 0x0112, 0x8769, 0xA005, 0x0001
_BYTE, _SHORT, _LONG = 1, 3, 4
_ENTRY_BYTES = 12

Entries = dict[int, bytes]
"""By tag: type (2 bytes), count (4), value or offset (4)."""


def orientation(exif: bytes) -> int:
    """How to turn the picture: 1 (not at all) to 8. 1 too where the EXIF says nothing that can be read."""
    tiff, order = _tiff(exif)
    value = _number(_first_entries(tiff, order).get(_ORIENTATION), order)
    return value if value is not None and 1 <= value <= 8 else 1


def is_adobe_rgb(exif: bytes) -> bool:
    """Whether a camera marks its photo as Adobe RGB without a profile, as DCF 2.0 has it: interoperability R03."""
    tiff, order = _tiff(exif)
    entries = _first_entries(tiff, order)
    for tag in (_EXIF_IFD, _INTEROPERABILITY_IFD):
        offset = _number(entries.get(tag), order)
        entries = {} if offset is None else _entries(tiff, order, offset)
    return entries.get(_INTEROPERABILITY_INDEX, b"")[6:9] == b"R03"


def _tiff(exif: bytes) -> tuple[bytes, str]:
    """The TIFF structure and its byte order, for `struct`; PNG and WebP leave out the `Exif` before it."""
    tiff = exif.removeprefix(b"Exif\0\0")
    return tiff, "<" if tiff.startswith(b"II") else ">"


def _first_entries(tiff: bytes, order: str) -> Entries:
    if tiff[:2] not in (b"II", b"MM") or len(tiff) < 8:
        return {}
    return _entries(tiff, order, struct.unpack(order + "L", tiff[4:8])[0])


def _entries(tiff: bytes, order: str, offset: int) -> Entries:
    if not 8 <= offset <= len(tiff) - 2:
        return {}
    count = struct.unpack(order + "H", tiff[offset : offset + 2])[0]
    rows = tiff[offset + 2 : offset + 2 + count * _ENTRY_BYTES]
    whole = range(0, len(rows) - _ENTRY_BYTES + 1, _ENTRY_BYTES)
    return {struct.unpack(order + "H", rows[at : at + 2])[0]: rows[at + 2 : at + _ENTRY_BYTES] for at in whole}


def _number(entry: bytes | None, order: str) -> int | None:
    if entry is None:
        return None
    kind = struct.unpack(order + "H", entry[:2])[0]
    layout = {_BYTE: "B", _SHORT: "H", _LONG: "L"}.get(kind)
    return None if layout is None else int(struct.unpack_from(order + layout, entry, 6)[0])
