"""safetensors files whose bytes follow from their content. Called by `lora` and `lora_kohya`.

safetensors writes the metadata in an order that differs from process to process (0.8.0: a hash map): equal trainings
would give files of different SHA-256.
"""

import json
import logging
from pathlib import Path

import safetensors.torch
import torch

log = logging.getLogger(__name__)

_LENGTH_BYTES = 8
_METADATA = "__metadata__"


def write_safetensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors (on the CPU, contiguous) and metadata; equal ones give equal bytes. Raises `OSError`."""
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    _sort_metadata(path)


def _sort_metadata(path: Path) -> None:
    """Rewrite the header in place: its length is the same in any order, and the tensors stay where they are.

    Format: a little-endian length, JSON padded with spaces to a multiple of 8, the tensors' bytes.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        try:
            header = json.loads(file.read(length))
            ordered = {_METADATA: dict(sorted(header.pop(_METADATA).items())), **header}
            content = json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode()
        except (ValueError, LookupError, TypeError, AttributeError):
            content = b""
        if not 0 < len(content) <= length:
            # A release of safetensors that writes its header in another way: the file is whole, only its bytes vary.
            log.warning("the header of %s stays as safetensors wrote it", path.name)
            return
        file.seek(_LENGTH_BYTES)
        file.write(content.ljust(length))
