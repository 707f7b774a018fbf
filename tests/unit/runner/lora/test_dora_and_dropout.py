"""DoRA and LoRA dropout: what they do to the model, and DoRA's files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from darkroom_contract.specs.training import Training
from darkroom_runner.lora.adapters import ADAPTER, add_adapters
from darkroom_runner.lora.kohya_format import kohya_state
from darkroom_runner.models.device import generator

DORA = {"dora": True, "alpha": 2, "learningRate": 1e-2}
EVERYTHING = {**DORA, "layers": "All", "trainTextEncoders": True}


def generate(pipeline: Any) -> torch.Tensor:
    latents: torch.Tensor = pipeline(
        "a photo of sks dog", num_inference_steps=2, generator=generator(1), output_type="latent"
    ).images
    return latents


def layers_of(model: torch.nn.Module) -> dict[str, Any]:
    return {name: module for name, module in model.named_modules() if hasattr(module, "lora_magnitude_vector")}


@pytest.mark.parametrize("training", [DORA, EVERYTHING], ids=["attention", "everything"])
def test_diffusers_reloads_a_dora_exactly(
    open_training: Callable[..., Any], photos: Any, sdxl: Any, tmp_path: Path, training: Any
) -> None:
    session = open_training(**training)
    session.train(photos)
    session.idle_models.bring_back()
    session.pipeline.unet.eval()
    expected, without = generate(session.pipeline), generate(sdxl)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    session.save(path, {})

    sdxl.load_lora_weights(str(path), adapter_name=ADAPTER)

    assert torch.equal(generate(sdxl), expected)
    assert not torch.equal(expected, without)
    for component, model in session.adapters.models.items():
        loaded = dict(getattr(sdxl, component).named_parameters())
        for name, parameter in model.named_parameters():
            if "lora_magnitude_vector" in name:
                assert torch.equal(loaded[name], parameter), f"{component}.{name}"


def test_training_changes_the_norms_of_the_weights_to_the_magnitudes(
    open_training: Callable[..., Any], photos: Any
) -> None:
    """The definition of DoRA: directions and norms of the rows are learned apart."""
    session = open_training(**DORA, max_steps=1)
    session.train(photos)

    for layer in layers_of(session.pipeline.unet).values():
        before = layer.base_layer.weight.detach().clone()
        magnitude = layer.lora_magnitude_vector[ADAPTER].weight.detach()
        layer.merge()
        torch.testing.assert_close(layer.base_layer.weight.norm(dim=1), magnitude)
        layer.unmerge()
        assert not torch.allclose(before.norm(dim=1), magnitude)


def test_kohya_form_of_a_dora_has_its_weights_by_lycoris_definition(
    open_training: Callable[..., Any], photos: Any
) -> None:
    """W' = dora_scale * (W + up down alpha / rank) / norm of each output's row, as LyCORIS 4 has it."""
    session = open_training(**EVERYTHING, max_steps=1)
    session.train(photos)
    unet = session.pipeline.unet
    state = kohya_state(session.adapters.folded_state(), unet, 4)

    for path, stem in (
        (
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k",
            "input_blocks_4_1_transformer_blocks_0_attn2_to_k",
        ),
        ("down_blocks.0.resnets.0.conv1", "input_blocks_1_0_in_layers_2"),
    ):
        layer = unet.get_submodule(path)
        weight = layer.base_layer.weight.detach()
        up, down, scale = (
            state[f"lora_unet_{stem}.{part}"] for part in ("lora_up.weight", "lora_down.weight", "dora_scale")
        )
        changed = weight + (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
        norm = changed.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
        layer.merge()
        torch.testing.assert_close(scale * changed / norm, layer.base_layer.weight.detach())
        layer.unmerge()


def test_a_dora_says_so_in_both_headers(open_training: Callable[..., Any], photos: Any, tmp_path: Path) -> None:
    from safetensors import safe_open

    session = open_training(**DORA, filePrecision="BFloat16", max_steps=1)
    session.train(photos)
    session.save(tmp_path / "diffusers.safetensors", {})
    session.save_kohya(tmp_path / "kohya.safetensors", {})

    with safe_open(tmp_path / "diffusers.safetensors", framework="pt") as file:
        assert '"unet.use_dora": true' in file.metadata()["lora_adapter_metadata"]
    with safe_open(tmp_path / "kohya.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert metadata["ss_network_module"] == "lycoris.kohya"
    assert metadata["ss_network_args"] == '{"algo": "lora", "dora_wd": "True", "wd_on_output": "True"}'
    assert metadata["modelspec.usage_hint"].startswith("DoRA with magnitudes per output")
    # bfloat16 would round a magnitude by up to 0.4%, and with it a whole row of the base model.
    tensors = load_file(tmp_path / "kohya.safetensors")
    assert {tensors[name].dtype for name in tensors if name.endswith("dora_scale")} == {torch.float32}
    assert {tensors[name].dtype for name in tensors if name.endswith("weight")} == {torch.bfloat16}


def test_more_dropout_changes_the_adapters_more_and_only_in_training(sdxl: Any) -> None:
    deviations = []
    for probability in (0.0, 0.1, 0.8):
        adapters = add_adapters(sdxl, Training(rank=4, lora_dropout=probability))
        for name, parameter in adapters.parameters.items():
            if "lora_B" in name:
                parameter.data = torch.randn(parameter.shape, generator=generator(2)) * 0.1
        unet = sdxl.unet
        expected = predict(unet.eval())
        deviations.append(float((predict(unet.train()) - expected).abs().mean()))
        assert torch.equal(predict(unet.eval()), expected)
        unet.delete_adapters(ADAPTER)

    assert deviations[0] == 0.0
    assert 0.0 < deviations[1] < deviations[2]


def predict(unet: Any) -> torch.Tensor:
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        latents = torch.randn(1, 4, 8, 8)
        text, pooled = torch.randn(1, 7, 32), torch.randn(1, 16)
        conditions = {"text_embeds": pooled, "time_ids": torch.zeros(1, 6)}
        prediction: torch.Tensor = unet(latents, 500, text, added_cond_kwargs=conditions).sample
        return prediction
