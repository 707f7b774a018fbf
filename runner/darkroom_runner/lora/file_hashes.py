"""Hashes of LoRA files in their own header, as kohya's scripts write them and A1111, Forge and Civitai look them up.

| Key | Of what | Form |
|---|---|---|
| `sshs_model_hash` | the tensors' bytes, without the header ("AutoV3") | SHA-256 |
| `modelspec.hash_sha256` | the same, by Stability AI's model specification | SHA-256 after `0x` |
| `sshs_legacy_hash` | 64 KiB at 1 MiB of the file as it is with only the `ss_*` metadata | 8 digits of SHA-256 |

Tools that edit a title or a description leave these hashes unchanged.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import torch

from darkroom_contract.storage.keys import kohya_file
from darkroom_runner.lora.safetensors_file import LENGTH_BYTES, write_safetensors

_BLOCK_BYTES = 1024 * 1024
_LEGACY_OFFSET = 0x100000
_LEGACY_BYTES = 0x10000


def write_with_hashes(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """`write_safetensors`, with the file's hashes in its metadata. Raises `OSError`."""
    write_safetensors(tensors, path, {name: text for name, text in metadata.items() if name.startswith("ss_")})
    digest = tensors_sha256(path)
    hashes = {
        "sshs_model_hash": digest,
        "sshs_legacy_hash": _legacy_hash(path),
        "modelspec.hash_sha256": f"0x{digest}",
    }
    write_safetensors(tensors, path, {**metadata, **hashes})


def tensors_sha256(path: Path) -> str:
    """SHA-256 of a safetensors file without its header."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(int.from_bytes(file.read(LENGTH_BYTES), "little"), 1)
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def web_ui_hash(path: Path, metadata: dict[str, str]) -> str:
    """The SHA-256 by which A1111, Forge and Civitai find a LoRA: its header's, or that of its tensors."""
    declared = metadata.get("sshs_model_hash", "").lower()
    return declared if re.fullmatch("[0-9a-f]{64}", declared) else tensors_sha256(path)


def kohya_tensors_sha256(files: Iterable[Path], model_id: str) -> str | None:
    """`tensors_sha256` of a model's file in Kohya format, if it is among `files`: the others need not exist."""
    return next((tensors_sha256(path) for path in files if path.name == kohya_file(model_id)), None)


def _legacy_hash(path: Path) -> str:
    """Of a file that ends before 1 MiB: the hash of nothing, e3b0c442, as in kohya's scripts."""
    with path.open("rb") as file:
        file.seek(_LEGACY_OFFSET)
        return hashlib.sha256(file.read(_LEGACY_BYTES)).hexdigest()[:8]
