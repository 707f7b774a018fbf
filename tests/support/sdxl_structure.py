"""SDXL at its real size, on the meta device, and the modules of its U-Net by the names of Stability AI's code (SGM).

The table of modules is written by hand from the published model (sd_xl_base_1.0.safetensors), not computed from
diffusers' models: tests compare names and shapes of our files with it.
"""

import functools
from collections.abc import Iterator

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from darkroom_contract.specs.training import Training
from darkroom_contract.specs.training_choices import LoraLayers
from darkroom_runner.lora.adapters import adapter_state, add_adapters
from darkroom_runner.lora.kohya_format import kohya_state

# unet/config.json of stabilityai/stable-diffusion-xl-base-1.0, without diffusers' defaults.
SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}

# Block -> (channels in, channels out, depth of its transformer, whether it ends with an upsampler).
INPUT_BLOCKS = {
    1: (320, 320, 0),
    2: (320, 320, 0),
    4: (320, 640, 2),
    5: (640, 640, 2),
    7: (640, 1280, 10),
    8: (1280, 1280, 10),
}
DOWNSAMPLERS = {3: 320, 6: 640}
OUTPUT_BLOCKS = {
    0: (2560, 1280, 10),
    1: (2560, 1280, 10),
    2: (1920, 1280, 10),
    3: (1920, 640, 2),
    4: (1280, 640, 2),
    5: (960, 640, 2),
    6: (960, 320, 0),
    7: (640, 320, 0),
    8: (640, 320, 0),
}
UPSAMPLERS = {2: 1280, 5: 640}
CONTEXT = 2048
TEXT_ENCODERS = {"te1": (12, 768), "te2": (32, 1280)}
"""Layers and width of CLIP ViT-L and OpenCLIP ViT-bigG."""

Shape = tuple[int, ...]


class RealSize:
    """SDXL's trained models at their real size, on the meta device."""

    def __init__(self) -> None:
        with torch.device("meta"):
            self.unet = UNet2DConditionModel(**SDXL_UNET)
            self.vae = torch.nn.Identity()
            self.text_encoder = CLIPTextModel(
                CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
            )
            self.text_encoder_2 = CLIPTextModelWithProjection(
                CLIPTextConfig(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20)
            )


@functools.cache
def trained_tensors(
    layers: LoraLayers, text_encoders: bool, dora: bool
) -> tuple[dict[str, torch.Tensor], torch.nn.Module]:
    """The tensors of an SDXL LoRA of rank 4 by diffusers' names, without values, and its U-Net."""
    training = Training(rank=4, layers=layers, train_text_encoders=text_encoders, dora=dora)
    with torch.device("meta"):
        adapters = add_adapters(RealSize(), training)
    state = {
        f"{component}.{name}": tensor
        for component, model in adapters.models.items()
        for name, tensor in adapter_state(component, model).items()
    }
    return state, adapters.models["unet"]


def peft_names(layers: LoraLayers, text_encoders: bool = False) -> list[str]:
    """The names in our file for diffusers."""
    return list(trained_tensors(layers, text_encoders, False)[0])


@functools.cache
def kohya_tensors(layers: LoraLayers, text_encoders: bool, dora: bool = False) -> dict[str, torch.Tensor]:
    """The tensors of our Kohya file."""
    return kohya_state(*trained_tensors(layers, text_encoders, dora), rank=4)


def sgm_attention() -> dict[str, Shape]:
    """Weight shapes of the attention projections, by SGM's names."""
    return {name: shape for name, shape in sgm_layers().items() if ".attn1." in name or ".attn2." in name}


def sgm_layers() -> dict[str, Shape]:
    """Weight shapes of all layers of the blocks that LoRAs adapt, by SGM's names."""
    layers: dict[str, Shape] = {}
    for part, blocks in (("input_blocks", INPUT_BLOCKS), ("output_blocks", OUTPUT_BLOCKS)):
        for index, (before, after, depth) in blocks.items():
            layers |= dict(_resnet(f"{part}.{index}.0", before, after))
            layers |= dict(_transformer(f"{part}.{index}.1", after, depth))
    layers |= dict(_resnet("middle_block.0", 1280, 1280)) | dict(_resnet("middle_block.2", 1280, 1280))
    layers |= dict(_transformer("middle_block.1", 1280, 10))
    layers |= {f"input_blocks.{index}.0.op": (width, width, 3, 3) for index, width in DOWNSAMPLERS.items()}
    return layers | {f"output_blocks.{index}.2.conv": (width, width, 3, 3) for index, width in UPSAMPLERS.items()}


def clip_attention(encoder: str) -> dict[str, Shape]:
    """Weight shapes of a text encoder's attention projections, by the names of transformers 4."""
    count, width = TEXT_ENCODERS[encoder]
    return {
        f"text_model.encoder.layers.{layer}.self_attn.{name}": (width, width)
        for layer in range(count)
        for name in ("q_proj", "k_proj", "v_proj", "out_proj")
    }


def _resnet(name: str, before: int, after: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.in_layers.2", (after, before, 3, 3)
    yield f"{name}.out_layers.3", (after, after, 3, 3)
    if before != after:
        yield f"{name}.skip_connection", (after, before, 1, 1)


def _transformer(name: str, width: int, depth: int) -> Iterator[tuple[str, Shape]]:
    if depth:
        yield f"{name}.proj_in", (width, width)
        yield f"{name}.proj_out", (width, width)
    for block in range(depth):
        path = f"{name}.transformer_blocks.{block}"
        for attention, context in (("attn1", width), ("attn2", CONTEXT)):
            yield f"{path}.{attention}.to_q", (width, width)
            yield f"{path}.{attention}.to_k", (width, context)
            yield f"{path}.{attention}.to_v", (width, context)
            yield f"{path}.{attention}.to_out.0", (width, width)
        yield f"{path}.ff.net.0.proj", (8 * width, width)
        yield f"{path}.ff.net.2", (width, 4 * width)
