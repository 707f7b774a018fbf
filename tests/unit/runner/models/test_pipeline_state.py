"""A pipeline's models are as they were loaded, after whatever a run has done to them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import foreign_loras as forms
from support.foreign_loras import random_lora, saved

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.lora.loading import LoraToLoad, load_loras
from darkroom_runner.models.pipeline_state import ModelState
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.sdxl import generate_image


def models(pipeline: Any) -> list[torch.nn.Module]:
    return [each for each in pipeline.components.values() if isinstance(each, torch.nn.Module)]


def description(pipeline: Any) -> list[Any]:
    """Everything of the models that a run could see: layers, hooks, attributes, flags, and all weights bit by bit."""
    found = list[Any]()
    for model in models(pipeline):
        for name, module in model.named_modules():
            attributes = {key: repr(value)[:200] for key, value in vars(module).items() if key[0] != "_"}
            hooks = [len(module._forward_hooks), len(module._forward_pre_hooks), "forward" in vars(module)]
            found.append((name, type(module).__name__, id(module), attributes, hooks, sorted(vars(module))))
        for name, tensor in model.state_dict(keep_vars=True).items():
            bits = bytes(tensor.detach().contiguous().view(torch.uint8).numpy())
            found.append((name, id(tensor), tensor.dtype, tensor.requires_grad, hash(bits)))
    return found


@pytest.fixture
def plain_lora(sdxl: Any, tmp_path: Path) -> LoraToLoad:
    path = saved(forms.kohya(random_lora(sdxl, seed=1, size=0.02, text_encoders=True)), tmp_path / "plain.safetensors")
    return LoraToLoad(path, 0.7, "plain")


def draw(pipeline: Any, **changes: Any) -> bytes:
    spec = GenerateJobSpec.from_dict({"prompt": "a (dog:1.2)", "images": {"steps": 3}, **changes})
    pipeline.scheduler = build_sampler(pipeline.scheduler, spec.images.scheduler, spec.images.steps, Remarks())
    return generate_image(pipeline, spec, 3, lambda step, total: None).tobytes()


OTHER = {
    "images": {"steps": 4, "scheduler": "EulerAncestral", "vaeTiling": "Enabled"},
    "upscale": {"factor": 2, "strength": 0.5},
    "cache": {"interval": 2, "policy": "DeepCache"},
}


def test_lora_sampler_tiling_and_cache_leave_nothing(sdxl: Any, plain_lora: LoraToLoad) -> None:
    state, before = ModelState(models(sdxl)), description(sdxl)
    load_loras(sdxl, [plain_lora])
    draw(sdxl, **OTHER)
    assert description(sdxl) != before

    assert state.restore()

    assert description(sdxl) == before


def test_whatever_is_set_on_a_module_is_gone(sdxl: Any) -> None:
    state, before = ModelState(models(sdxl)), description(sdxl)
    unet = sdxl.unet
    unet.train()
    unet.register_forward_hook(lambda *arguments: None)
    unet.enable_gradient_checkpointing()
    unet.extra = object()
    unet.conv_in.forward = lambda *arguments: None
    unet.mid_block.resnets.append(torch.nn.Linear(1, 1))
    unet.conv_out = torch.nn.Identity()
    sdxl.vae.use_tiling = True
    sdxl.vae.requires_grad_(False)
    sdxl.text_encoder.final_layer = torch.nn.Identity()

    assert state.restore()

    assert description(sdxl) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda pipeline: pipeline.unet.conv_in.weight.data[0, 0, 0].mul_(1.0000001),
        lambda pipeline: pipeline.text_encoder_2.to(torch.float16),
    ],
    ids=["one weight in place", "another precision"],
)
def test_changed_weights_are_detected(sdxl: Any, change: Callable[[Any], None]) -> None:
    state = ModelState(models(sdxl))
    change(sdxl)

    assert not state.restore()


def test_lora_that_was_added_to_the_weights_is_detected(sdxl: Any, tmp_path: Path) -> None:
    lora = forms.kohya(random_lora(sdxl, seed=1, size=0.02))
    down = next(name for name in lora if name.endswith("lora_down.weight"))
    module = down.removesuffix(".lora_down.weight")
    lora[f"{module}.dora_scale"] = torch.ones(lora[f"{module}.lora_up.weight"].shape[0], 1)
    state = ModelState(models(sdxl))
    load_loras(sdxl, [LoraToLoad(saved(lora, tmp_path / "dora.safetensors"), 1.0, "dora")])

    assert not state.restore()


def test_precision_that_was_raised_and_lowered_again_is_no_change(sdxl: Any) -> None:
    """As diffusers does with the VAE for each decoding in half precision."""
    sdxl.vae.to(torch.float16)
    state = ModelState(models(sdxl))
    sdxl.vae.to(torch.float32)
    sdxl.vae.to(torch.float16)

    assert state.restore()
