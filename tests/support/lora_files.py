"""Small LoRA files, written without torch: real headers, and zeros as weights."""

import json
from collections.abc import Iterable

MODULE = "input_blocks_4_1_transformer_blocks_0_attn1_to_q"
"""A module of SDXL's U-Net in Stability's naming."""


def kohya_names(module: str = MODULE) -> list[str]:
    return [f"lora_unet_{module}.{each}" for each in ("alpha", "lora_down.weight", "lora_up.weight")]


def lora_bytes(names: Iterable[str] = tuple(kohya_names()), fill: int = 0, **metadata: str) -> bytes:
    """A safetensors file with tensors of these names. `fill` distinguishes files of the same names."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    position = 0
    for name in names:
        shape = [] if name.endswith(".alpha") else [4, 8]
        size = 2 if not shape else 64
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    content = json.dumps(header).encode()
    return len(content).to_bytes(8, "little") + content + bytes([fill]) * position
