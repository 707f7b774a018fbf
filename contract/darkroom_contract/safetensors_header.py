"""Reads and checks the header of a safetensors file: names, types and shapes of its tensors, and its metadata.

Pure Python, without torch: the gateway checks uploaded LoRA files with it, the runner the ones that it downloads.
File format: a little-endian length of 8 bytes, that many bytes of JSON, then the tensors' bytes without gaps.
https://huggingface.co/docs/safetensors/index#format
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO

MAX_HEADER_BYTES = 8 * 1024**2
"""A LoRA of all layers of SDXL has 2,841 tensors, about 0.5 MB of header; trainers add captions and thumbnails."""
MAX_TENSORS = 40_000
MAX_NAME_CHARACTERS = 256
"""The longest names of LoRAs for SDXL have about 120. Longer ones would take time to classify."""
_MAX_CONTAINERS = 4 * MAX_TENSORS
"""Lists and maps of the JSON; brackets in texts count too. Millions of them would take seconds, and 200 MB."""
_MAX_DIMENSIONS = 8
_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_NO_LORA = "Download it again: a saved web page or an incomplete download is no LoRA."

DTYPE_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}
"""Bytes of one element."""


class NotSafetensorsError(ValueError):
    """The file is not a safetensors file, or it is damaged. The message says why, in whole sentences."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor's element type, as safetensors names it, and its shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class SafetensorsHeader:
    """The header of a valid file."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str] = field(default_factory=dict)


def read_header(file: BinaryIO, size_bytes: int) -> SafetensorsHeader:
    """The header of an open file of `size_bytes`; reads at most `MAX_HEADER_BYTES`. Raises `NotSafetensorsError`.

    Takes up to 100 MB of memory for a header of the largest size."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if not 2 <= length <= size_bytes - _LENGTH_BYTES:
        raise NotSafetensorsError(
            f"It is not a safetensors file: its first 8 bytes are not the length of a header. {_NO_LORA}"
        )
    if length > MAX_HEADER_BYTES:
        raise NotSafetensorsError(f"Its header has {length} bytes, more than the limit of {MAX_HEADER_BYTES}.")
    document = _parse(file.read(length))
    metadata = _checked_metadata(document.pop(_METADATA, {}))
    _check_names(document)
    if len(document) > MAX_TENSORS:
        raise NotSafetensorsError(f"It has {len(document)} tensors, more than the limit of {MAX_TENSORS}.")
    spans = {name: _span(name, entry) for name, entry in document.items()}
    _require_contiguous(sorted(spans.values()), size_bytes - _LENGTH_BYTES - length)
    tensors = {name: TensorInfo(entry["dtype"], tuple(entry["shape"])) for name, entry in document.items()}
    return SafetensorsHeader(tensors, metadata)


def _parse(content: bytes) -> dict[str, Any]:
    if content.count(b"[") + content.count(b"{") > _MAX_CONTAINERS:
        raise NotSafetensorsError(f"Its header has more than {_MAX_CONTAINERS} lists and maps.")
    try:
        document = json.loads(content.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise NotSafetensorsError(f"It is not a safetensors file: its header is not JSON. {_NO_LORA}") from error
    if not isinstance(document, dict):
        raise NotSafetensorsError(f"It is not a safetensors file: its header is not a JSON object. {_NO_LORA}")
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name twice")
    return found


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise NotSafetensorsError("Its metadata is not a map of texts.")
    try:
        "".join((*metadata, *metadata.values())).encode()
    except UnicodeEncodeError as error:
        # Half a surrogate pair: no record or message with it could be stored.
        raise NotSafetensorsError("Its metadata is not valid Unicode.") from error
    return metadata


def _check_names(names: Iterable[str]) -> None:
    """Names get into messages and logs, and are matched with regular expressions."""
    for name in names:
        if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise NotSafetensorsError(
                f"Tensor {name[:200]!r} has no valid name: it has more than {MAX_NAME_CHARACTERS} characters, or one "
                "that can't be printed."
            )


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end. Raises `NotSafetensorsError` unless that fits its type and shape."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [begin, end]}:
            known = dtype in DTYPE_BYTES and len(shape) <= _MAX_DIMENSIONS
            if known and all(type(each) is int and each >= 0 for each in (*shape, begin, end)):
                if end - begin == prod(shape) * DTYPE_BYTES[dtype]:
                    return begin, end
                raise NotSafetensorsError(f"Tensor {name[:200]!r} is damaged: its size is not that of its shape.")
    raise NotSafetensorsError(f"Tensor {name[:200]!r} has no valid type, shape and position.")


def _require_contiguous(spans: list[tuple[int, int]], data_bytes: int) -> None:
    position = 0
    for begin, end in spans:
        if begin != position:
            raise NotSafetensorsError("It is damaged: its tensors overlap or have gaps between them.")
        position = end
    if position != data_bytes:
        raise NotSafetensorsError(
            f"It is incomplete or damaged: its tensors need {position} bytes, and it has {data_bytes}."
        )
