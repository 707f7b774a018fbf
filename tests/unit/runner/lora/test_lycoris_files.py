"""LoHa, LoKr, Tucker, DoRA and difference files: LyCORIS' own modules write them and compute what to expect."""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from peft import LoraConfig
from support import foreign_loras as forms
from support.foreign_loras import UNET_NAMES, assert_same_effect, output_of, saved, weight_of

from darkroom_runner.lora.diffusers_format import load_lora
from darkroom_runner.lora.loading import LoraToLoad, load_loras

WRITTEN_FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "LoHa": (LohaModule, {}),
    "LoHa, Tucker": (LohaModule, {"use_tucker": True}),
    "LoHa, DoRA per input": (LohaModule, {"weight_decompose": True, "wd_on_out": False}),
    "LoKr": (LokrModule, {}),
    "LoKr, both factors decomposed": (LokrModule, {"decompose_both": True, "factor": 8, "lora_dim": 1}),
    "LoKr, whole factors": (LokrModule, {"full_matrix": True}),
    "LoKr, Tucker": (LokrModule, {"use_tucker": True, "lora_dim": 2}),
    "LoKr, DoRA": (LokrModule, {"weight_decompose": True}),
    "LoCon": (LoConModule, {}),
    "LoCon, Tucker": (LoConModule, {"use_tucker": True}),
    "LoCon, DoRA": (LoConModule, {"weight_decompose": True}),
    "LoCon, DoRA per input": (LoConModule, {"weight_decompose": True, "wd_on_out": False}),
    "LoCon, rsLoRA": (LoConModule, {"rs_lora": True}),
}
LAYERS = (
    f"{forms.ATTENTION}.to_q",
    "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "down_blocks.1.resnets.0.conv1",
    "up_blocks.1.resnets.2.conv_shortcut",
)


def lycoris_module(kind: Any, settings: dict[str, Any], name: str, layer: torch.nn.Module, seed: int) -> Any:
    """LyCORIS' module for a layer, with random weights, as if it had been trained."""
    module = kind(name, layer, **{"lora_dim": 4, "alpha": 2.0, **settings})
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for each, parameter in module.named_parameters():
            if "org_module" in each:
                continue
            noise = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(parameter * (1 + 0.1 * noise) if "dora" in each else 0.3 * noise)
    return module


def written(kind: Any, settings: dict[str, Any], pipeline: Any) -> tuple[dict[str, torch.Tensor], Any]:
    """A file's tensors, and a copy of the pipeline whose layers LyCORIS' modules have replaced, as in training.

    Not their merged weights: 4.1.3 multiplies those of LoHa and LoKr by alpha / rank twice.
    """
    trained, tensors = copy.deepcopy(pipeline), dict[str, torch.Tensor]()
    for seed, path in enumerate(LAYERS):
        name = f"lora_unet_{UNET_NAMES[path]}"
        module = lycoris_module(kind, settings, name, trained.unet.get_submodule(path), seed).eval()
        parts = module.custom_state_dict() or module.state_dict()
        tensors |= {f"{name}.{part}": tensor.detach().clone() for part, tensor in parts.items() if part != "scalar"}
        module.apply_to()
    return tensors, trained


@pytest.mark.parametrize("form", WRITTEN_FORMS)
def test_a_file_of_lycoris_has_the_effect_that_lycoris_computes(sdxl: Any, tmp_path: Path, form: str) -> None:
    tensors, trained = written(*WRITTEN_FORMS[form], sdxl)
    base, expected = output_of(sdxl), output_of(trained)

    load_lora(sdxl, saved(tensors, tmp_path / "a.safetensors"), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, expected, base)


@pytest.fixture
def of_kind(sdxl: Any, tmp_path: Path) -> Callable[[str], Path]:
    def write(form: str) -> Path:
        return saved(written(*WRITTEN_FORMS[form], sdxl)[0], tmp_path / f"{form}.safetensors")

    return write


@pytest.mark.parametrize("form", ["LoHa", "LoKr, DoRA", "LoCon, DoRA"])
def test_a_scale_of_0_changes_nothing_and_a_half_gives_half_the_weight_change(
    sdxl: Any, of_kind: Callable[[str], Path], form: str
) -> None:
    """Also of a DoRA, which peft would not scale to nothing."""
    before = weight_of(sdxl, "unet", LAYERS[0]).detach().clone()
    path, changes = of_kind(form), []
    for scale in (0.0, 0.5, 1.0):
        with torch.no_grad():
            weight_of(sdxl, "unet", LAYERS[0]).copy_(before)
        load_lora(sdxl, path, scale, model_id="foreign")
        changes.append(weight_of(sdxl, "unet", LAYERS[0]).detach() - before)

    assert not changes[0].any()
    torch.testing.assert_close(changes[1], changes[2] / 2, atol=1e-6, rtol=1e-4)
    assert float(changes[2].norm()) > 0.02


def test_the_order_of_all_kinds_does_not_matter(sdxl: Any, of_kind: Callable[[str], Path]) -> None:
    """Each change is computed from the base model's weight, not from what another LoRA left."""
    before = weight_of(sdxl, "unet", LAYERS[0]).detach().clone()
    uses = [LoraToLoad(of_kind(form), 0.7, form) for form in ("LoCon, DoRA", "LoHa", "LoKr, DoRA")]
    results = []
    for order in itertools.permutations(uses):
        with torch.no_grad():
            weight_of(sdxl, "unet", LAYERS[0]).copy_(before)
        load_loras(sdxl, order)
        results.append(weight_of(sdxl, "unet", LAYERS[0]).detach().clone())

    assert not torch.equal(results[0], before)
    assert all(torch.equal(each, results[0]) for each in results)


@pytest.mark.parametrize("names", ["peft", "kohya"])
def test_a_dora_has_the_effect_of_peft_s_own(sdxl: Any, tmp_path: Path, names: str) -> None:
    """Linear layers and convolutions, whose magnitudes peft keeps in another shape."""
    base, reference = output_of(sdxl), copy.deepcopy(sdxl)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=list(LAYERS), use_dora=True)
    reference.unet.add_adapter(config, adapter_name="default")
    tensors, draw = dict[str, torch.Tensor](), torch.Generator().manual_seed(3)
    for path in LAYERS:
        layer = reference.unet.get_submodule(path)
        parts = [layer.lora_A["default"], layer.lora_B["default"], layer.lora_magnitude_vector["default"]]
        with torch.no_grad():
            parts[1].weight.normal_(0.0, 0.1, generator=draw)
            parts[2].weight.mul_(1 + 0.2 * torch.rand(parts[2].weight.shape, generator=draw))
        down, up, magnitude = (each.weight.detach().clone() for each in parts)
        if names == "peft":
            of_layer = {"lora_A.weight": down, "lora_B.weight": up * 2, "lora_magnitude_vector": magnitude}
            tensors |= {f"unet.{path}.{part}": tensor for part, tensor in of_layer.items()}
        else:
            scale = magnitude.reshape(-1, *[1] * (layer.get_base_layer().weight.dim() - 1))
            of_layer = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(8.0), "dora_scale": scale}
            tensors |= {f"lora_unet_{UNET_NAMES[path]}.{part}": tensor for part, tensor in of_layer.items()}

    load_lora(sdxl, saved(tensors, tmp_path / "a.safetensors"), scale=1.0, model_id="foreign")

    assert_same_effect(sdxl, output_of(reference), base)


def test_differences_of_weights_norms_and_biases_are_added(sdxl: Any, tmp_path: Path) -> None:
    convolution, norm = sdxl.unet.mid_block.resnets[0].conv1, sdxl.unet.mid_block.resnets[0].norm1
    before = {name: parameter.detach().clone() for name, parameter in sdxl.unet.named_parameters()}
    tensors = {
        "lora_unet_middle_block_0_in_layers_2.diff": torch.ones_like(convolution.weight),
        "lora_unet_middle_block_0_in_layers_2.diff_b": torch.full_like(convolution.bias, 2.0),
        "lora_unet_middle_block_0_in_layers_0.diff": torch.full_like(norm.weight, 3.0),
    }

    load_lora(sdxl, saved(tensors, tmp_path / "a.safetensors"), scale=0.5, model_id="foreign")

    torch.testing.assert_close(convolution.weight, before["mid_block.resnets.0.conv1.weight"] + 0.5)
    torch.testing.assert_close(convolution.bias, before["mid_block.resnets.0.conv1.bias"] + 1.0)
    torch.testing.assert_close(norm.weight, before["mid_block.resnets.0.norm1.weight"] + 1.5)
