"""Saves LoRA files in Kohya format, which ComfyUI, A1111, Forge, InvokeAI and kohya's scripts read.

U-Net blocks have the names of Stability AI's SDXL code (SGM: `input_blocks`, `middle_block`, `output_blocks`): A1111
does not find the upsamplers under diffusers' names. Each module has `lora_down`, `lora_up` and `alpha`, a DoRA also
`dora_scale`. As in the diffusers format, alpha / rank is folded into the weights, so `alpha` equals the rank.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training_choices import FilePrecision
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora.adapters import MAGNITUDE, Adapters
from darkroom_runner.lora.file_hashes import write_with_hashes
from darkroom_runner.lora.kohya_metadata import tool_metadata
from darkroom_runner.lora.thumbnail import thumbnail_uri

DORA_SCALE = "dora_scale"
_PREFIXES = {"unet": "lora_unet", "text_encoder": "lora_te1", "text_encoder_2": "lora_te2"}
_MATRICES = {"lora_A": "lora_down.weight", "lora_B": "lora_up.weight"}
_DTYPES = {
    FilePrecision.FLOAT16: torch.float16,
    FilePrecision.BFLOAT16: torch.bfloat16,
    FilePrecision.FLOAT32: torch.float32,
}
_RESNET_LAYERS = {"conv1": "in_layers.2", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
"""SGM's indices also count norms and activations."""


def save_kohya_lora(
    adapters: Adapters,
    path: Path,
    metadata: dict[str, str],
    spec: TrainJobSpec,
    prediction: str | None = None,
    thumbnail: Image.Image | None = None,
    *,
    side_px: int | None = None,
    captions: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write all adapters to one file, with `metadata` and the metadata that other tools show.

    `prediction` is the base model's `prediction_type`, `side_px` the resolution of the training (the base model's own
    when None), `thumbnail` an image that shows the LoRA, `captions` the text of each photo by instance prompt.
    Raises `ModelIncompatibleError` for a U-Net with modules that SGM has no name for.
    """
    unet: Any = adapters.models["unet"]
    tensors = _in_precision(kohya_state(adapters.folded_state(), unet, adapters.rank), spec.training.file_precision)
    side_px = side_px or int(unet.config.sample_size) * 8
    header = tool_metadata(spec, adapters, prediction, side_px, metadata.get("darkroom.baseModel"), captions)
    if thumbnail is not None:
        header["modelspec.thumbnail"] = thumbnail_uri(thumbnail)
    write_with_hashes(tensors, path, {"format": "pt", **header, **metadata})


def _in_precision(tensors: dict[str, torch.Tensor], precision: FilePrecision) -> dict[str, torch.Tensor]:
    """The matrices in the job's precision; in float32 if one is beyond its range and would become infinite.

    The few magnitudes of a DoRA stay in float32: each scales a whole row of the base model's weights, and bfloat16
    would round it by up to 0.4%.
    """
    rounded = {
        name: tensor if name.endswith(DORA_SCALE) else tensor.to(_DTYPES[precision]) for name, tensor in tensors.items()
    }
    return rounded if all(torch.isfinite(tensor).all() for tensor in rounded.values()) else tensors


def kohya_state(state: dict[str, torch.Tensor], unet: Any, rank: int) -> dict[str, torch.Tensor]:
    """Rename weights from diffusers' names (`unet.….lora_A.weight`) to Kohya's, and add an `alpha` for each module.

    Raises `ModelIncompatibleError` for a U-Net with modules that SGM has no name for.
    """
    blocks = sgm_blocks(unet)
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        module, matrix = name.removesuffix(".weight").rsplit(".", 1)
        component, path = module.split(".", 1)
        target = _sgm_name(path, blocks) if component == "unet" else path
        module = f"{_PREFIXES[component]}_{target.replace('.', '_')}"
        if matrix == MAGNITUDE:
            renamed[f"{module}.{DORA_SCALE}"] = _dora_scale(tensor)
            continue
        renamed[f"{module}.{_MATRICES[matrix]}"] = tensor
        renamed[f"{module}.alpha"] = torch.tensor(float(rank))
    return renamed


def _dora_scale(magnitude: torch.Tensor) -> torch.Tensor:
    """LyCORIS' shape of magnitudes per output (`wd_on_out`): [out, 1], of convolutions [out, 1, 1, 1].

    peft has [out] and [1, out, 1, 1]. ComfyUI and Forge recognize the axis by this shape.
    """
    return magnitude[:, None] if magnitude.dim() == 1 else magnitude.transpose(0, 1).contiguous()


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
