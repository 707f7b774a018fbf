"""Recognises LoRA files that are plainly for another architecture than SDXL, by names and widths. Pure Python."""

import re
from collections.abc import Mapping

from darkroom_contract.safetensors_header import TensorInfo

_BY_NAME = (
    ("Stable Diffusion 3", re.compile(r"joint_blocks|\battn2?\.add_[qkv]_proj.*\bpos_embed|context_block\b")),
    ("Flux", re.compile(r"double_blocks|single_blocks|single_transformer_blocks")),
    ("a video model", re.compile(r"temporal_transformer_blocks|motion_modules|temp_attentions|temp_convs")),
    ("Stable Cascade", re.compile(r"^lora_prior_")),
    (
        "a transformer model such as Stable Diffusion 3, Flux or Wan",
        re.compile(
            r"^(base_model\.model\.)?transformer\.|^lora_transformer_|^lora_te3_|^diffusion_model\.(blocks|layers)\."
        ),
    ),
)

_CROSS_ATTENTION = re.compile(
    r"attn2[._](?:processor[._])?to_[kv](?:_lora)?\.(?:lora\.)?(?:(?:lora_A|lora_down|down)\b.*weight|hada_w1_b|diff)$"
)
_BY_WIDTH = {768: "Stable Diffusion 1.5", 1024: "Stable Diffusion 2"}
"""Width of the text embeddings that cross-attention reads: SDXL has 2048. Models of other widths, such as small ones
for tests, are decided by the runner, which knows the base model."""


def other_architecture(tensors: Mapping[str, TensorInfo]) -> str | None:
    """The architecture of a file that is not for SDXL; None for SDXL, or if it is unclear."""
    for architecture, pattern in _BY_NAME:
        if any(pattern.search(name) for name in tensors):
            return architecture
    widths = {info.shape[1] for name, info in tensors.items() if len(info.shape) >= 2 and _CROSS_ATTENTION.search(name)}
    return _BY_WIDTH.get(next(iter(widths))) if len(widths) == 1 else None
