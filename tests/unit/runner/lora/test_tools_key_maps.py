"""Our Kohya file in other tools, at SDXL's real size: every tensor finds its weight, with that weight's shape."""

import pytest
from support.lora_tools import LORA_PARTS, TOOLS
from support.sdxl_structure import (
    Shape,
    clip_attention,
    kohya_tensors,
    peft_names,
    sgm_attention,
    sgm_layers,
)

from darkroom_contract.specs.training_choices import LoraLayers

KINDS = {
    "attention": (LoraLayers.ATTENTION, False, False),
    "all layers and text encoders": (LoraLayers.ALL, True, False),
    "DoRA of all layers and text encoders": (LoraLayers.ALL, True, True),
}
WEIGHTS = {"attention": 560, "all layers and text encoders": 947}


def weights(kind: str) -> int:
    return WEIGHTS[kind.removeprefix("DoRA of ")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tool", TOOLS)
def test_every_tensor_finds_its_weight(tool: str, kind: str) -> None:
    tensors = kohya_tensors(*KINDS[kind])
    is_dora = kind.startswith("DoRA")

    reading = TOOLS[tool](tensors)

    assert not reading.refused or (is_dora and tool == "kohya")
    assert len(reading.matched) == weights(kind)
    parts = {*LORA_PARTS} | ({"dora_scale"} if is_dora and tool != "kohya" else set())
    assert all(found == parts for found in reading.matched.values())
    # kohya's scripts have no DoRA: the only tensors that a tool leaves out.
    assert len(reading.left_out) == (weights(kind) if is_dora and tool == "kohya" else 0)
    assert all(name.endswith(".dora_scale") for name in reading.left_out)


@pytest.mark.parametrize("tool", TOOLS)
def test_peft_names_match_no_attention_so_the_second_file_is_needed(tool: str) -> None:
    """Of the file for diffusers. It also shows that the descriptions of the tools can find fault."""
    reading = TOOLS[tool](peft_names(LoraLayers.ATTENTION))

    assert not reading.matched
    assert reading.refused == (tool in {"Forge", "InvokeAI"})


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_are_those_of_the_weights(kind: str) -> None:
    tensors = kohya_tensors(*KINDS[kind])
    stems = {name.partition(".")[0] for name in tensors}
    shapes = expected_shapes(kind)

    assert stems == shapes.keys()
    for stem, (out, inside, *kernel) in shapes.items():
        assert tensors[f"{stem}.lora_down.weight"].shape == (4, inside, *kernel)
        assert tensors[f"{stem}.lora_up.weight"].shape == (out, 4, *[1] * len(kernel))
        assert tensors[f"{stem}.alpha"].shape == ()
        if kind.startswith("DoRA"):
            # ComfyUI and Forge see by the first dimension that the magnitudes are per output.
            assert tensors[f"{stem}.dora_scale"].shape == (out, *[1] * (1 + len(kernel)))


def expected_shapes(kind: str) -> dict[str, Shape]:
    layers, text_encoders, _ = KINDS[kind]
    unet = sgm_layers() if layers is LoraLayers.ALL else sgm_attention()
    shapes = {f"lora_unet_{name}": shape for name, shape in unet.items()}
    if text_encoders:
        shapes |= {
            f"lora_{each}_{name}": shape for each in ("te1", "te2") for name, shape in clip_attention(each).items()
        }
    return {name.replace(".", "_"): shape for name, shape in shapes.items()}
