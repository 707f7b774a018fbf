"""Continuing from an existing LoRA: the fresh adapters have its effect at once, or the training is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.foreign_loras import assert_same_effect, output_of
from support.pipeline_copies import PipelineCopies

from darkroom_contract.specs.training import Training
from darkroom_runner.errors import ModelIncompatibleError
from darkroom_runner.lora.adapters import Adapters, add_adapters
from darkroom_runner.lora.diffusers_format import save_lora
from darkroom_runner.lora.initial_lora import load_initial_lora
from darkroom_runner.lora.kohya_format import kohya_state


def adapters_of(pipeline: Any, **training: Any) -> Adapters:
    return add_adapters(pipeline, Training.from_dict({"rank": 4, **training}))


@pytest.fixture
def trained(sdxl: Any, tmp_path: Path) -> Callable[..., tuple[Path, Path, Any]]:
    """A LoRA with random weights: its file in diffusers' and in Kohya's form, and the output that it gives."""

    def train(**training: Any) -> tuple[Path, Path, Any]:
        adapters = adapters_of(sdxl, **training)
        draw = torch.Generator().manual_seed(1)
        for name, parameter in adapters.parameters.items():
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.data = parameter.data * (1 + 0.1 * noise) if "magnitude" in name else 0.1 * noise
        save_lora(adapters, tmp_path / "diffusers.safetensors", {})
        save_file(kohya_state(adapters.folded_state(), sdxl.unet, adapters.rank), tmp_path / "kohya.safetensors")
        return tmp_path / "diffusers.safetensors", tmp_path / "kohya.safetensors", output_of(sdxl)

    return train


@pytest.fixture
def fresh(sdxl_copies: PipelineCopies) -> Any:
    """Another small SDXL, for the continued training."""
    return sdxl_copies.copy()


EVERYTHING = {"layers": "All", "trainTextEncoders": True}


@pytest.mark.parametrize("alphas", [(4, 4), (2, 8)])
@pytest.mark.parametrize("training", [{}, EVERYTHING, {**EVERYTHING, "dora": True}], ids=["plain", "all", "DoRA"])
def test_fresh_adapters_have_the_effect_of_the_lora(
    trained: Callable[..., Any], fresh: Any, training: dict[str, Any], alphas: tuple[int, int]
) -> None:
    """Whatever its alpha and that of the continued training are."""
    *files, expected = trained(**training, alpha=alphas[0])
    base = output_of(fresh)
    adapters = adapters_of(fresh, **training, alpha=alphas[1])

    for path in files:
        load_initial_lora(fresh, adapters, path, "my-dog")
        assert_same_effect(fresh, expected, base)

    assert all(parameter.requires_grad for parameter in adapters.parameters.values())
    assert {parameter.dtype for parameter in adapters.parameters.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("lora", "training", "words"),
    [
        ({"rank": 8}, {}, "it has rank 8, and training.rank is 4. Set training.rank to 8."),
        ({}, EVERYTHING, "it has no layers of text encoders. Set training.trainTextEncoders to false."),
        (EVERYTHING, {"layers": "All"}, "it has layers of text encoders. Set training.trainTextEncoders to true."),
        ({"layers": "All"}, {}, r"0 layers of this training are not in it, and \d+ of its layers are not in this"),
        ({}, {"layers": "All"}, r"\d+ layers of this training are not in it, and 0 of its layers are not in this"),
        ({"dora": True}, {}, "it is a DoRA. Set training.dora to true."),
        ({}, {"dora": True}, "it is no DoRA. Set training.dora to false."),
    ],
)
def test_a_lora_that_does_not_fit_is_refused_with_what_to_set(
    trained: Callable[..., Any], fresh: Any, lora: dict[str, Any], training: dict[str, Any], words: str
) -> None:
    path, _, _ = trained(**lora)
    adapters = adapters_of(fresh, **training)
    before = {name: parameter.clone() for name, parameter in adapters.parameters.items()}

    with pytest.raises(ModelIncompatibleError, match=f"can't continue from LoRA 'my-dog': {words}"):
        load_initial_lora(fresh, adapters, path, "my-dog")

    assert all(torch.equal(parameter, before[name]) for name, parameter in adapters.parameters.items())


def test_other_kinds_of_lora_can_t_be_continued(trained: Callable[..., Any], fresh: Any) -> None:
    path, _, _ = trained()
    module = "unet.mid_block.attentions.0.proj_in"
    save_file(load_file(path) | {f"{module}.diff": torch.zeros(64, 64)}, path)

    with pytest.raises(ModelIncompatibleError, match="Difference and LoRA with other parts than two matrices"):
        load_initial_lora(fresh, adapters_of(fresh), path, "my-dog")


def test_a_lora_of_another_base_model_is_refused(trained: Callable[..., Any], fresh: Any) -> None:
    path, _, _ = trained()
    save_file({name.replace("mid_block", "mid_block.extra"): each for name, each in load_file(path).items()}, path)

    with pytest.raises(ModelIncompatibleError, match="'my-dog' does not fit this base model"):
        load_initial_lora(fresh, adapters_of(fresh), path, "my-dog")


class PackedLinear(torch.nn.Linear):
    """Like bitsandbytes' `Linear4bit`: the elements of the weight are packed, two in a byte."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None)
        packed = torch.zeros(layer.weight.numel() // 2, 1, dtype=torch.uint8)
        self.weight = torch.nn.Parameter(packed, requires_grad=False)


def test_a_training_on_a_quantized_model_continues_from_a_lora(trained: Callable[..., Any], fresh: Any) -> None:
    path, _, _ = trained(**EVERYTHING)
    for name, layer in list(fresh.unet.named_modules()):
        if isinstance(layer, torch.nn.Linear):
            parent, _, last = name.rpartition(".")
            setattr(fresh.unet.get_submodule(parent), last, PackedLinear(layer))
    adapters = adapters_of(fresh, **EVERYTHING)

    load_initial_lora(fresh, adapters, path, "my-dog")

    folded = adapters.folded_state()
    for name, tensor in load_file(path).items():
        assert torch.equal(folded[name], tensor)
