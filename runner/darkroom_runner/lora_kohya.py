"""LoRAs in Kohya form: the names that ComfyUI, A1111, Forge, InvokeAI and kohya's own scripts know. Used by `session`.

The U-Net's blocks carry the names of Stability AI's own SDXL code (SGM: `input_blocks`, `middle_block`,
`output_blocks`); A1111 does not find the upsamplers under diffusers' names. Each module has `lora_down`, `lora_up` and
`alpha`. `alpha` is folded in, as in the other file, so that here it equals the rank.
"""

from pathlib import Path
from typing import Any

import torch

from darkroom_contract.specs import TrainJobSpec
from darkroom_runner import lora
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora_file import write_safetensors

_PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
_MATRICES = {"lora_A": "lora_down", "lora_B": "lora_up"}
_PREDICTIONS = {"epsilon": "epsilon", "v_prediction": "v"}
"""What the U-Net predicts, as diffusers and as the model specification call it."""
_RESNET_LAYERS = {"conv1": "in_layers.2", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
"""SGM counts norms and activations, too."""


def save(
    adapters: lora.Adapters, path: Path, facts: dict[str, str], spec: TrainJobSpec, prediction: str | None = None
) -> None:
    """Write the adapters to one file in half precision, with `facts` beside the metadata that other tools show.

    `prediction` is the base model's `prediction_type`. Raises `ModelIncompatibleError` for a U-Net with modules that
    SGM has no name for.
    """
    tensors = kohya_state(adapters.folded_state(), adapters.models["unet"], adapters.rank)
    half = {name: tensor.half() for name, tensor in tensors.items()}
    # Beyond half precision's range, the file stays in float32.
    fits = all(torch.isfinite(tensor).all() for tensor in half.values())
    write_safetensors(
        half if fits else tensors, path, {"format": "pt", **_metadata(adapters, spec, prediction), **facts}
    )


def _metadata(adapters: lora.Adapters, spec: TrainJobSpec, prediction: str | None) -> dict[str, str]:
    """`ss_*` as kohya's scripts read them, `modelspec.*` as Stability AI's model specification names them."""
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
    """Weights under diffusers' names (`unet.….lora_A.weight`) under Kohya's, with an `alpha` for each module.

    Raises `ModelIncompatibleError` for a U-Net with modules that SGM has no name for.
    """
    blocks = sgm_blocks(unet)
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        module, matrix, weight = name.rsplit(".", 2)
        component, path = module.split(".", 1)
        place = _sgm_name(path, blocks) if component == "unet" else path
        module = f"{_PREFIXES[component]}_{place.replace('.', '_')}"
        renamed[f"{module}.{_MATRICES[matrix]}.{weight}"] = tensor
        renamed[f"{module}.alpha"] = torch.tensor(float(rank))
    return renamed


def sgm_blocks(unet: Any) -> dict[str, str]:
    """diffusers' name of each part of the U-Net's blocks, with SGM's: `down_blocks.1.resnets.0`, `input_blocks.4.0`.

    Read from the U-Net's own structure, as other sizes than SDXL's have other numbers of blocks and layers.
    """
    return _input_blocks(unet) | _middle_block(unet) | _output_blocks(unet)


def _input_blocks(unet: Any) -> dict[str, str]:
    """Counted through all levels. Block 0 is the first convolution; a downsampler is a block of its own."""
    names, place = {}, 1
    for level, block in enumerate(unet.down_blocks):
        for layer in range(len(block.resnets)):
            names[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{place}.0"
            names[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{place}.1"
            place += 1
        if block.downsamplers is not None:
            names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{place}.0.op"
            place += 1
    return names


def _middle_block(unet: Any) -> dict[str, str]:
    """A resnet, then attention and resnet in turn."""
    if unet.mid_block is None:
        return {}
    names = {"mid_block.resnets.0": "middle_block.0"}
    for layer in range(1, len(unet.mid_block.resnets)):
        names[f"mid_block.attentions.{layer - 1}"] = f"middle_block.{2 * layer - 1}"
        names[f"mid_block.resnets.{layer}"] = f"middle_block.{2 * layer}"
    return names


def _output_blocks(unet: Any) -> dict[str, str]:
    """Counted through all levels. An upsampler is the last part of its level's last block."""
    names, place = {}, 0
    for level, block in enumerate(unet.up_blocks):
        for layer in range(len(block.resnets)):
            names[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{place}.0"
            names[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{place}.1"
            place += 1
        if block.upsamplers is not None:
            part = 2 if hasattr(block, "attentions") else 1
            names[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{place - 1}.{part}.conv"
    return names


def _sgm_name(path: str, blocks: dict[str, str]) -> str:
    """SGM's name of a module of the U-Net."""
    if path in blocks:
        return blocks[path]
    parts = path.split(".")
    for length in (4, 3):
        block, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if block in blocks:
            inside = _RESNET_LAYERS.get(rest, rest) if "resnets" in block else rest
            return f"{blocks[block]}.{inside}"
    raise ModelIncompatibleError(f"The base model's U-Net has a module {path!r} that SDXL's does not have.")
