"""Writes safetensors files that are byte-for-byte reproducible. Used by both LoRA file formats.

safetensors 0.8.0 writes metadata from a hash map, in an order that differs between processes: without sorting, equal
trainings would produce files with different SHA-256 digests.
"""

import json
import logging
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from darkroom_runner.errors import first_line

log = logging.getLogger(__name__)

LENGTH_BYTES = 8
"""The file starts with the length of its header."""

_METADATA = "__metadata__"


def write_safetensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors (on the CPU, contiguous) with metadata; equal input gives equal bytes. Raises `OSError`."""
    try:
        safetensors.torch.save_file(tensors, path, metadata=metadata)
    except SafetensorError as error:
        raise OSError(first_line(error)) from error
    _sort_metadata(path)


def _sort_metadata(path: Path) -> None:
    """Sort the header's metadata in place. Its length does not depend on the order, so the tensors don't move.

    File format: a little-endian length, a JSON header padded with spaces to a multiple of 8, the tensors' bytes.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        try:
            header = json.loads(file.read(length))
            ordered = {_METADATA: dict(sorted(header.pop(_METADATA).items())), **header}
            content = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
        except (ValueError, LookupError, TypeError, AttributeError):
            content = b""
        if not 0 < len(content) <= length:
            # Another safetensors release may format its header differently: the file is valid, only not reproducible.
            log.warning("%s: unexpected safetensors header, its metadata is left unsorted", path.name)
            return
        file.seek(LENGTH_BYTES)
        file.write(content.ljust(length))
