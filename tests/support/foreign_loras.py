"""LoRAs with random weights for the small SDXL, written in the forms of other tools; and what a pipeline computes.

The names are written here as those tools write them, independently of the code under test. `merged` is the reference:
the same LoRA added to the weights by its definition, W + alpha / rank · B A.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0.attn2"
UNET_NAMES = {
    f"{ATTENTION}.to_q": "input_blocks_4_1_transformer_blocks_0_attn2_to_q",
    f"{ATTENTION}.to_out.0": "input_blocks_4_1_transformer_blocks_0_attn2_to_out_0",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj": "middle_block_1_transformer_blocks_0_ff_net_0_proj",
    "up_blocks.0.attentions.2.proj_in": "output_blocks_2_1_proj_in",
    "down_blocks.1.resnets.0.conv1": "input_blocks_4_0_in_layers_2",
    "down_blocks.1.resnets.1.time_emb_proj": "input_blocks_5_0_emb_layers_1",
    "up_blocks.1.resnets.2.conv_shortcut": "output_blocks_5_0_skip_connection",
    "mid_block.resnets.1.conv2": "middle_block_2_out_layers_3",
    "down_blocks.0.downsamplers.0.conv": "input_blocks_3_0_op",
    "up_blocks.0.upsamplers.0.conv": "output_blocks_2_2_conv",
    "conv_in": "input_blocks_0_0",
    "conv_out": "out_2",
    "time_embedding.linear_2": "time_embed_2",
    "add_embedding.linear_1": "label_emb_0_0",
}
"""Layers of the small U-Net: diffusers' path -> SGM's flat name."""

TEXT_LAYERS = ("encoder.layers.0.self_attn.q_proj", "encoder.layers.1.self_attn.out_proj", "encoder.layers.1.mlp.fc1")

Lora = dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor, float]]
"""(component, path) -> down, up, alpha."""


@dataclass(frozen=True)
class Output:
    """What a pipeline's text encoders and U-Net give for fixed input."""

    text: torch.Tensor
    prediction: torch.Tensor

    def vector(self) -> torch.Tensor:
        return torch.cat([self.text.flatten(), self.prediction.flatten()])


def random_lora(
    pipeline: Any, rank: int = 4, alpha: float = 2.0, seed: int = 0, text_encoders: bool = True, size: float = 0.05
) -> Lora:
    """A LoRA of the layers above."""
    places = [("unet", path) for path in UNET_NAMES]
    if text_encoders:
        places += [(component, path) for component in ("text_encoder", "text_encoder_2") for path in TEXT_LAYERS]
    draw = torch.Generator().manual_seed(seed)
    lora: Lora = {}
    for component, path in places:
        shape = weight_of(pipeline, component, path).shape
        kernel = (1,) * (len(shape) - 2)
        down = torch.randn(rank, *shape[1:], generator=draw) * size
        lora[component, path] = down, torch.randn(shape[0], rank, *kernel, generator=draw) * size, alpha
    return lora


def weight_of(pipeline: Any, component: str, path: str) -> torch.Tensor:
    """`path` without transformers' outer `text_model`, which only one of the text encoders has."""
    model = getattr(pipeline, component)
    weight: torch.Tensor = getattr(model, "text_model", model).get_submodule(path).weight
    return weight


def merged(pipeline: Any, lora: Lora, scale: float = 1.0) -> Any:
    """A copy of the pipeline's models with the LoRA in their weights, computed in double precision."""
    result = copy.deepcopy(pipeline)
    for (component, path), (down, up, alpha) in lora.items():
        weight = weight_of(result, component, path)
        change = (up.double().flatten(1) @ down.double().flatten(1)).reshape(weight.shape)
        with torch.no_grad():
            weight.copy_(weight.double() + scale * alpha / down.shape[0] * change)
    return result


def output_of(pipeline: Any) -> Output:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        text, _, pooled, _ = pipeline.encode_prompt("a photo of sks dog", do_classifier_free_guidance=False)
        latents = torch.randn(1, 4, 8, 8, generator=draw)
        conditions = {"text_embeds": pooled, "time_ids": torch.full((1, 6), 64.0)}
        return Output(text, pipeline.unet(latents, 500, text, added_cond_kwargs=conditions).sample)


def effect(pipeline: Any, base: Output) -> torch.Tensor:
    return output_of(pipeline).vector() - base.vector()


def assert_same_effect(pipeline: Any, expected: Output, base: Output, relative: float = 1e-4) -> None:
    """Both outputs differ from the base model's by the same, up to rounding."""
    wanted = expected.vector() - base.vector()
    assert float(wanted.norm()) > 1e-2
    assert float((effect(pipeline, base) - wanted).norm() / wanted.norm()) < relative


# --- forms -------------------------------------------------------------------------------------------------------


def kohya(lora: Lora, sgm: bool = True, parts: tuple[str, str] = ("lora_down", "lora_up")) -> dict[str, torch.Tensor]:
    """kohya's scripts (SGM blocks), LyCORIS and OneTrainer (diffusers' blocks)."""
    prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te1_text_model_", "text_encoder_2": "lora_te2_text_model_"}
    written = {}
    for (component, path), (down, up, alpha) in lora.items():
        flat = UNET_NAMES[path] if sgm and component == "unet" else path.replace(".", "_")
        module = prefixes[component] + flat
        written |= {
            f"{module}.{parts[0]}.weight": down,
            f"{module}.{parts[1]}.weight": up,
            f"{module}.alpha": torch.tensor(alpha),
        }
    return written


def dotted(
    lora: Lora, prefix: str = "{component}.", parts: tuple[str, str] = ("lora_A", "lora_B")
) -> dict[str, torch.Tensor]:
    """diffusers and peft."""
    written = {}
    for (component, path), (down, up, _) in lora.items():
        module = prefix.format(component=component) + ("" if component == "unet" else "text_model.") + path
        written |= {f"{module}.{parts[0]}.weight": down, f"{module}.{parts[1]}.weight": up}
    return written


def diffusers_old(lora: Lora) -> dict[str, torch.Tensor]:
    """diffusers before 0.22: attention processors, and text encoders by the names of the attention's projections."""
    old_text = {"q_proj": "to_q_lora", "out_proj": "to_out_lora", "fc1": "fc1.lora_linear_layer"}
    written = {}
    for (component, path), (down, up, _) in lora.items():
        if component == "unet":
            module = path.replace("attn2.", "attn2.processor.").removesuffix(".0") + "_lora"
        else:
            parent, layer = path.rsplit(".", 1)
            module = f"text_model.{parent}.{old_text[layer]}"
        written |= {f"{component}.{module}.down.weight": down, f"{component}.{module}.up.weight": up}
    return written


def of_unet(lora: Lora) -> Lora:
    return {place: parts for place, parts in lora.items() if place[0] == "unet"}


def of_attention(lora: Lora) -> Lora:
    """Attention of the U-Net, and the text encoders."""
    return {place: parts for place, parts in lora.items() if place[0] != "unet" or ATTENTION in place[1]}


def with_alpha(lora: Lora, alpha: float) -> Lora:
    return {place: (down, up, alpha) for place, (down, up, _) in lora.items()}


def saved(tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path
