"""Headers of safetensors files are read without torch, and anything else is refused with a reason."""

import io
import json
from typing import Any

import pytest

from darkroom_contract.safetensors_header import (
    MAX_HEADER_BYTES,
    NotSafetensorsError,
    SafetensorsHeader,
    TensorInfo,
    read_header,
)

TENSOR = {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]}


def content_of(document: Any, data_bytes: int = 12) -> bytes:
    header = document if isinstance(document, bytes) else json.dumps(document).encode()
    return len(header).to_bytes(8, "little") + header + bytes(data_bytes)


def read(content: bytes) -> SafetensorsHeader:
    return read_header(io.BytesIO(content), len(content))


def test_names_types_shapes_and_metadata_are_read() -> None:
    scalar = {"dtype": "F32", "shape": [], "data_offsets": [12, 16]}

    header = read(content_of({"b": scalar, "a": TENSOR, "__metadata__": {"format": "pt"}}, 16))

    assert header.tensors == {"a": TensorInfo("F16", (2, 3)), "b": TensorInfo("F32", ())}
    assert header.metadata == {"format": "pt"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "first 8 bytes"),
        (b"PK\x03\x04 a zip of pickles, as torch.save writes it", "first 8 bytes"),
        (content_of(b"no json!"), "not JSON"),
        (content_of(b"[" * 100_000), "not JSON"),
        (content_of(json.dumps({"a": TENSOR}).encode("utf-16")), "not JSON"),
        (content_of({"a": TENSOR, "__metadata__": {"k": "\udfff"}}), "not valid Unicode"),
        (content_of(b"[1]"), "not a JSON object"),
        (content_of(b'{"a": 1, "a": 2}'), "not JSON"),
        (content_of({"a": TENSOR, "__metadata__": {"k": 1}}), "not a map of texts"),
        (content_of({"a": TENSOR, "__metadata__": []}), "not a map of texts"),
        (content_of({"a": 1}), "no valid type"),
        (content_of({"a": TENSOR | {"dtype": "OBJECT"}}), "no valid type"),
        (content_of({"a": TENSOR | {"shape": [-2, -3]}}), "no valid type"),
        (content_of({"a": TENSOR | {"shape": [True, 6]}}), "no valid type"),
        (content_of({"a": TENSOR | {"shape": [1] * 9}}), "no valid type"),
        (content_of({"a": TENSOR | {"shape": [2, 4]}}), "not that of its shape"),
        (content_of({"a": TENSOR | {"data_offsets": [False, 12]}}), "no valid type"),
        (content_of({"a\nb": TENSOR}), r"'a\\nb' has no valid name"),
        (content_of({"attn.add_q_proj." * 33: TENSOR}), "no valid name: it has more than 256"),
        (content_of(json.dumps({"a": TENSOR}).encode("utf-16-le")), "not JSON"),
        (content_of(b'{"__metadata__":[' + b"[]," * 160_000 + b"1]}"), "160000 lists and maps"),
        (content_of({"a": TENSOR, "b": TENSOR}), "overlap"),
        (content_of({"a": TENSOR | {"data_offsets": [2, 14]}}, 14), "overlap or have gaps"),
        (content_of({"a": TENSOR}, 11), "needs? 12 bytes, and it has 11"),
        (content_of({"a": TENSOR}, 20), "needs? 12 bytes, and it has 20"),
        (
            content_of({f"t{n}": TENSOR | {"shape": [0], "data_offsets": [0, 0]} for n in range(40_001)}),
            "40001 tensors",
        ),
    ],
)
def test_anything_else_is_refused_with_a_reason(content: bytes, words: str) -> None:
    with pytest.raises(NotSafetensorsError, match=words):
        read(content)


def test_a_header_beyond_the_limit_is_not_read() -> None:
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            content = super().read(size)
            self.taken += len(content)
            return content

    file = Counting((MAX_HEADER_BYTES + 1).to_bytes(8, "little") + b"{" * 100)

    with pytest.raises(NotSafetensorsError, match="more than the limit"):
        read_header(file, 1 << 40)
    assert file.taken == 8
