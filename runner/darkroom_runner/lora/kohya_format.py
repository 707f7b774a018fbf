"""Saves LoRA files in Kohya format, which ComfyUI, A1111, Forge, InvokeAI and kohya's scripts read.

U-Net blocks have the names of Stability AI's SDXL code (SGM: `input_blocks`, `middle_block`, `output_blocks`): A1111
does not find the upsamplers under diffusers' names. Each module has `lora_down`, `lora_up` and `alpha`. As in the
diffusers format, alpha / rank is folded into the weights, so `alpha` equals the rank.
"""

from pathlib import Path
from typing import Any

import torch

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora.adapters import Adapters
from darkroom_runner.lora.safetensors_file import write_safetensors

_PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
_MATRICES = {"lora_A": "lora_down", "lora_B": "lora_up"}
_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v"}
"""Prediction types: diffusers' name -> the model specification's name."""
_RESNET_LAYERS = {"conv1": "in_layers.2", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
"""SGM's indices also count norms and activations."""


def save_kohya_lora(
    adapters: Adapters, path: Path, metadata: dict[str, str], spec: TrainJobSpec, prediction: str | None = None
) -> None:
    """Write all adapters to one file in float16, with `metadata` and the metadata that other tools show.

    `prediction` is the base model's `prediction_type`. Raises `ModelIncompatibleError` for a U-Net with modules that
    SGM has no name for.
    """
    tensors = kohya_state(adapters.folded_state(), adapters.models["unet"], adapters.rank)
    half = {name: tensor.half() for name, tensor in tensors.items()}
    # Weights beyond the range of float16 would become infinite: such a file stays in float32.
    fits = all(torch.isfinite(tensor).all() for tensor in half.values())
    header = {"format": "pt", **_tool_metadata(adapters, spec, prediction), **metadata}
    write_safetensors(half if fits else tensors, path, header)


def _tool_metadata(adapters: Adapters, spec: TrainJobSpec, prediction: str | None) -> dict[str, str]:
    """`ss_*` keys as kohya's scripts read them, `modelspec.*` keys of Stability AI's model specification."""
    return {
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(adapters.rank),
        "ss_network_alpha": str(adapters.rank),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.title": spec.model_id,
        "modelspec.trigger_phrase": spec.prompt,
        **({"modelspec.prediction_type": _PREDICTIONS[prediction]} if prediction in _PREDICTIONS else {}),
    }


def kohya_state(state: dict[str, torch.Tensor], unet: Any, rank: int) -> dict[str, torch.Tensor]:
    """Rename weights from diffusers' names (`unet.….lora_A.weight`) to Kohya's, and add an `alpha` for each module.

    Raises `ModelIncompatibleError` for a U-Net with modules that SGM has no name for.
    """
    blocks = sgm_blocks(unet)
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        module, matrix, weight = name.rsplit(".", 2)
        component, path = module.split(".", 1)
        target = _sgm_name(path, blocks) if component == "unet" else path
        module = f"{_PREFIXES[component]}_{target.replace('.', '_')}"
        renamed[f"{module}.{_MATRICES[matrix]}.{weight}"] = tensor
        renamed[f"{module}.alpha"] = torch.tensor(float(rank))
    return renamed


def sgm_blocks(unet: Any) -> dict[str, str]:
    """Map diffusers' block names to SGM's, such as `down_blocks.1.resnets.0` to `input_blocks.4.0`.

    Derived from the U-Net's structure, since models of other sizes than SDXL have other numbers of blocks and layers.
    """
    return _input_blocks(unet) | _middle_block(unet) | _output_blocks(unet)


def _input_blocks(unet: Any) -> dict[str, str]:
    """Numbered across all levels. Block 0 is the first convolution; a downsampler is a separate block."""
    names, index = {}, 1
    for level, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            names[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{index}.0"
            names[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{index}.1"
            index += 1
        if block.downsamplers is not None:
            names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{index}.0.op"
            index += 1
    return names


def _middle_block(unet: Any) -> dict[str, str]:
    """A resnet, then attention and resnet alternately."""
    if unet.mid_block is None:
        return {}
    names = {"mid_block.resnets.0": "middle_block.0"}
    for layer in range(1, len(unet.mid_block.resnets)):
        names[f"mid_block.attentions.{layer - 1}"] = f"middle_block.{2 * layer - 1}"
        names[f"mid_block.resnets.{layer}"] = f"middle_block.{2 * layer}"
    return names


def _output_blocks(unet: Any) -> dict[str, str]:
    """Numbered across all levels. An upsampler is the last part of its level's last block."""
    names, index = {}, 0
    for level, block in enumerate(unet.up_blocks):
        for layer in range(len(block.resnets)):
            names[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{index}.0"
            names[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{index}.1"
            index += 1
        if block.upsamplers is not None:
            part = 2 if hasattr(block, "attentions") else 1
            names[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{index - 1}.{part}.conv"
    return names


def _sgm_name(path: str, blocks: dict[str, str]) -> str:
    """SGM's name of a U-Net module, given its path in diffusers."""
    if path in blocks:
        return blocks[path]
    parts = path.split(".")
    for length in (4, 3):
        block, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if block in blocks:
            inside = _RESNET_LAYERS.get(rest, rest) if "resnets" in block else rest
            return f"{blocks[block]}.{inside}"
    raise ModelIncompatibleError(f"The base model's U-Net has a module {path!r} that SDXL does not have.")
