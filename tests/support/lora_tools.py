"""How other tools find the tensors of a Kohya LoRA file for SDXL, described from their behaviour.

Each function returns which weights of the model a tool changes with a file, and which of the file's tensors it leaves
out. They work on the model's names in that tool (`sdxl_structure`), not on our conversion. Described in November 2026:

| Tool | Version read | Where | A tensor that matches nothing |
|---|---|---|---|
| ComfyUI | 9c0cf36c | comfy/lora.py, comfy/weight_adapter | "lora key not loaded", the rest is applied |
| Forge | dfdcbab6 | packages_3rdparty/comfyui_lora_collection/lora.py | more than 12: the whole file is refused |
| A1111 | 1.10.1 | extensions-builtin/Lora/networks.py | "Failed to match keys", the rest is applied |
| InvokeAI | 8e71a8a5 | backend/patches/lora_conversions/sdxl_lora_conversion_utils.py | ValueError for the whole file |
| kohya | 48d368fa | networks/lora.py | ignored (`load_state_dict(strict=False)`); it has no DoRA |
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from support.sdxl_structure import clip_attention, sgm_layers

FORGE_TOLERATES = 12
LORA_PARTS = ("lora_up.weight", "lora_down.weight", "alpha")


@dataclass
class Reading:
    """What a tool makes of a file."""

    matched: dict[str, set[str]] = field(default_factory=dict)
    """Model weight, by its name in the tool -> parts of the file for it."""
    left_out: list[str] = field(default_factory=list)
    refused: bool = False


def comfyui(names: Iterable[str]) -> Reading:
    """A table from `lora_unet_` and every weight of the model, dots as underscores, and the text encoders' layers."""
    table = {f"lora_unet_{_flat(name)}": f"diffusion_model.{name}" for name in sgm_layers()}
    for prefix, model in (("te1", "clip_l"), ("te2", "clip_g")):
        table |= {f"lora_{prefix}_{_flat(name)}": f"{model}.transformer.{name}" for name in clip_attention(prefix)}
    return _read(names, table.get, (*LORA_PARTS, "dora_scale"))


def forge(names: Iterable[str]) -> Reading:
    """ComfyUI's table; refuses a file with more than a dozen tensors that are not in it."""
    reading = comfyui(names)
    reading.refused = len(reading.left_out) > FORGE_TOLERATES
    return reading


def a1111(names: Iterable[str]) -> Reading:
    """Modules by their flattened names; OpenCLIP's attention is one module, whose four projections are looked up."""
    modules = {f"diffusion_model_{_flat(name)}" for name in sgm_layers()}
    modules |= {f"0_transformer_{_flat(name)}" for name in clip_attention("te1")}
    modules |= {f"1_model_transformer_resblocks_{layer}_attn" for layer in range(32)}

    def find(stem: str) -> str | None:
        second = re.fullmatch(r"lora_te2_text_model_encoder_layers_(\d+)_self_attn_(\w+)", stem)
        if second:
            module, projection = f"1_model_transformer_resblocks_{second[1]}_attn", second[2]
            return f"{module}_{projection}" if module in modules else None
        name = stem.replace("lora_unet", "diffusion_model").replace("lora_te1_text_model", "0_transformer_text_model")
        return name if name in modules else None

    return _read(names, find, (*LORA_PARTS, "dora_scale"))


def invokeai(names: Iterable[str]) -> Reading:
    """The longest known SGM prefix of a U-Net name becomes diffusers' prefix; all convert, or the file is refused."""
    blocks = _sgm_to_diffusers()

    def find(stem: str) -> str | None:
        if stem.startswith(("lora_te1_", "lora_te2_")):
            known = {_flat(name) for name in clip_attention(stem[5:8])}
            return stem if stem[9:] in known else None
        rest = stem.removeprefix("lora_unet_")
        prefix = max((block for block in blocks if rest.startswith(block)), key=len, default=None)
        return None if prefix is None else f"unet_{blocks[prefix]}{rest.removeprefix(prefix)}"

    reading = _read(names, find, (*LORA_PARTS, "dora_scale"))
    reading.refused = bool(reading.left_out)
    return reading


def kohya(names: Iterable[str]) -> Reading:
    """Modules are created for the file's names among all linear and convolution layers. DoRA's scales are ignored."""
    table = {f"lora_unet_{_flat(name)}": name for name in sgm_layers()}
    for prefix in ("te1", "te2"):
        table |= {f"lora_{prefix}_{_flat(name)}": f"{prefix}.{name}" for name in clip_attention(prefix)}
    return _read(names, table.get, LORA_PARTS)


TOOLS: dict[str, Callable[[Iterable[str]], Reading]] = {
    "ComfyUI": comfyui,
    "Forge": forge,
    "A1111": a1111,
    "InvokeAI": invokeai,
    "kohya": kohya,
}


def _read(names: Iterable[str], find: Callable[[str], str | None], parts: tuple[str, ...]) -> Reading:
    reading = Reading()
    for name in names:
        stem, _, part = name.partition(".")
        weight = find(stem)
        if weight is None or part not in parts:
            reading.left_out.append(name)
        else:
            reading.matched.setdefault(weight, set()).add(part)
    return reading


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _sgm_to_diffusers() -> dict[str, str]:
    """SDXL has three levels, of two resnets on the way down and three on the way up."""
    inside = {"in_layers_2": "conv1", "out_layers_3": "conv2", "skip_connection": "conv_shortcut"}
    resnets, rest = {"middle_block_0": "mid_block_resnets_0", "middle_block_2": "mid_block_resnets_1"}, {}
    for level in range(3):
        for layer in range(2):
            resnets[f"input_blocks_{3 * level + layer + 1}_0"] = f"down_blocks_{level}_resnets_{layer}"
            rest[f"input_blocks_{3 * level + layer + 1}_1"] = f"down_blocks_{level}_attentions_{layer}"
        for layer in range(3):
            resnets[f"output_blocks_{3 * level + layer}_0"] = f"up_blocks_{level}_resnets_{layer}"
            rest[f"output_blocks_{3 * level + layer}_1"] = f"up_blocks_{level}_attentions_{layer}"
        rest[f"input_blocks_{3 * (level + 1)}_0_op"] = f"down_blocks_{level}_downsamplers_0_conv"
        rest[f"output_blocks_{3 * level + 2}_2"] = f"up_blocks_{level}_upsamplers_0"
    rest["middle_block_1"] = "mid_block_attentions_0"
    return rest | {f"{sgm}_{ours}": f"{hf}_{theirs}" for sgm, hf in resnets.items() for ours, theirs in inside.items()}
