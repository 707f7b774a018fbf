"""Finds the modules of a pipeline by the names that LoRA files have for them: diffusers' blocks or SGM's, flat.

Derived from the loaded models, so that models of every size and all their layers are found. The opposite direction,
for saving, is in `kohya_format`.
"""

from collections.abc import Iterator
from typing import Any

import torch

from darkroom_contract.lora_names import UNET
from darkroom_runner.lora.adapters import TEXT_ENCODERS
from darkroom_runner.lora.kohya_format import sgm_blocks

_SGM_SINGLE = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_SGM_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BASE_LAYER = ".base_layer"
_TEXT_MODEL = "text_model."
"""transformers 5 removed this outer module of `CLIPTextModel`; names in files have it."""


def module_paths(pipeline: Any) -> dict[tuple[str, str], str]:
    """The path of every module with weights, by component and flat name; also of modules that have adapters."""
    found: dict[tuple[str, str], str] = {}
    unet = pipeline.unet
    blocks = sgm_blocks(unet)
    for path in _paths(unet):
        for name in (path, _sgm_name(path, blocks)):
            if name is not None:
                found[UNET, name.replace(".", "_")] = path
    for component in TEXT_ENCODERS:
        for path in _paths(getattr(pipeline, component)):
            for name in (path, path if path.startswith(_TEXT_MODEL) else _TEXT_MODEL + path):
                found[component, name.replace(".", "_")] = path
    return found


def _paths(model: torch.nn.Module) -> Iterator[str]:
    for path, module in model.named_modules():
        if isinstance(getattr(module, "weight", None), torch.nn.Parameter) and ".lora_" not in path:
            yield path.removesuffix(_BASE_LAYER)


def _sgm_name(path: str, blocks: dict[str, str]) -> str | None:
    """SGM's name of a U-Net module; None for one that SGM does not have."""
    if path in _SGM_SINGLE or path in blocks:
        return _SGM_SINGLE.get(path) or blocks[path]
    parts = path.split(".")
    for length in (4, 3):
        block, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if block in blocks:
            return f"{blocks[block]}.{_SGM_RESNET.get(rest, rest) if 'resnets' in block else rest}"
    return None
