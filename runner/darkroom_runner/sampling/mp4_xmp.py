"""Adds an XMP packet to an mp4 file, in a `uuid` box at its end. PyAV has no way to write one.

Adobe's XMP specification, part 3, 2.2.4: MPEG-4 files have their packet in a box at the top level. Players skip boxes
that they don't know, and the index keeps its place before the frames.
"""

from pathlib import Path
from uuid import UUID

XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
_HEADER_BYTES = 8


def append_xmp(path: Path, packet: bytes) -> None:
    """Raises `OSError`, and `ValueError` for a file whose boxes don't end with it."""
    _check_boxes(path)
    size = _HEADER_BYTES + len(XMP_BOX.bytes) + len(packet)
    with path.open("ab") as file:
        file.write(size.to_bytes(4, "big") + b"uuid" + XMP_BOX.bytes + packet)


def _check_boxes(path: Path) -> None:
    """A last box of size 0 would extend to the end of the file, and swallow what is appended."""
    end, position = path.stat().st_size, 0
    with path.open("rb") as file:
        while position < end:
            file.seek(position)
            header = file.read(2 * _HEADER_BYTES)
            size = int.from_bytes(header[:4], "big")
            if size == 1:
                size = int.from_bytes(header[_HEADER_BYTES:], "big")
            if size < _HEADER_BYTES:
                break
            position += size
    if position != end:
        raise ValueError(f"{path.name} is not a complete mp4 file: its boxes end at {position} of {end} bytes")
