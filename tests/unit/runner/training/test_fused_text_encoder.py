"""Fused text encoders compute what transformers' and peft's modules compute, as far as SDXL uses it."""

from typing import Any

import pytest
import torch
from transformers.activations import ACT2FN

from darkroom_contract.specs.training import Training
from darkroom_runner.lora.adapters import TEXT_ENCODERS, add_adapters
from darkroom_runner.training.fused import projections, text_encoder
from darkroom_runner.training.fused.layers import TEXT_ENCODER, fuse_layers

PROMPTS = ["a photo of sks dog", "a dog"]
Result = tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]


def adapted(pipeline: Any, **training: Any) -> Any:
    """A pipeline with adapters whose second matrix is not zero, in training mode."""
    add_adapters(pipeline, Training(**{"rank": 4, "alpha": 2, "train_text_encoders": True, **training}))
    rng = torch.Generator().manual_seed(3)
    for name in TEXT_ENCODERS:
        encoder = getattr(pipeline, name).train()
        for parameter_name, parameter in encoder.named_parameters():
            if "lora_B" in parameter_name:
                parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    return pipeline


def fused(pipeline: Any) -> int:
    return fuse_layers(pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2).counts[TEXT_ENCODER]


def run(pipeline: Any) -> Result:
    """Embeddings, pooled embeddings, and gradients by parameter."""
    embeddings, _, pooled, _ = pipeline.encode_prompt(PROMPTS, device="cpu", do_classifier_free_guidance=False)
    named = {
        f"{name}.{parameter}": each
        for name in TEXT_ENCODERS
        for parameter, each in getattr(pipeline, name).named_parameters()
    }
    for each in named.values():
        each.grad = None
    (embeddings.square().sum() + pooled.square().sum()).backward()
    gradients = {name: each.grad.clone() for name, each in named.items() if each.grad is not None}
    return embeddings.detach(), pooled.detach(), gradients


def require_close(one: Result, other: Result) -> None:
    torch.testing.assert_close(one[:2], other[:2], rtol=1e-4, atol=1e-5)
    assert one[2].keys() == other[2].keys()
    for name, gradient in one[2].items():
        torch.testing.assert_close(gradient, other[2][name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_embeddings_and_all_gradients_are_those_of_the_modules(sdxl: Any, activation: str) -> None:
    pipeline = adapted(sdxl)
    for name in TEXT_ENCODERS:
        for module in getattr(pipeline, name).modules():
            if hasattr(module, "activation_fn"):
                module.activation_fn = ACT2FN[activation]
    modules = run(pipeline)

    assert fused(pipeline) == len(TEXT_ENCODERS)

    require_close(run(pipeline), modules)


@pytest.mark.parametrize("narrow", [0, 10**6], ids=["wide", "narrow"])
def test_weights_of_any_width_have_the_same_results(sdxl: Any, monkeypatch: pytest.MonkeyPatch, narrow: int) -> None:
    monkeypatch.setattr(projections, "_NARROW", narrow)
    pipeline = adapted(sdxl)
    modules = run(pipeline)

    assert fused(pipeline) == len(TEXT_ENCODERS)

    require_close(run(pipeline), modules)


def test_large_weights_are_not_kept_twice(sdxl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take other functions, with the same results."""
    monkeypatch.setattr(projections, "_JOINED_BYTES", 0)
    pipeline = adapted(sdxl)
    modules = run(pipeline)

    assert fused(pipeline) == len(TEXT_ENCODERS)

    require_close(run(pipeline), modules)


@pytest.mark.parametrize("end", [text_encoder._LEGACY_END, None], ids=["legacy", "own"])
def test_pooled_output_is_at_the_end_of_the_text(sdxl: Any, end: int | None) -> None:
    pipeline = adapted(sdxl)
    own = pipeline.tokenizer_2.eos_token_id if end is None else end
    pipeline.text_encoder_2.text_model.eos_token_id = own
    _, pooled, _ = run(pipeline)

    assert fused(pipeline) == len(TEXT_ENCODERS)

    torch.testing.assert_close(run(pipeline)[1], pooled, rtol=1e-4, atol=1e-5)


def test_last_layer_of_the_first_encoder_is_not_computed(sdxl: Any) -> None:
    """SDXL takes the hidden states before it."""
    pipeline = adapted(sdxl)
    assert fused(pipeline) == len(TEXT_ENCODERS)
    tokens = torch.zeros(1, 4, dtype=torch.long)

    output = pipeline.text_encoder(tokens, output_hidden_states=True)

    assert [each.is_meta for each in output.hidden_states] == [False] * (len(output.hidden_states) - 1) + [True]
    assert output[0].is_meta


def test_other_calls_are_left_to_the_module(sdxl: Any) -> None:
    pipeline = adapted(sdxl)
    tokens = torch.zeros(1, 4, dtype=torch.long)
    mask = torch.ones(1, 4, dtype=torch.long)
    expected = [pipeline.text_encoder(tokens)[0], pipeline.text_encoder_2(tokens, attention_mask=mask)[0]]

    assert fused(pipeline) == len(TEXT_ENCODERS)

    assert torch.equal(pipeline.text_encoder(tokens)[0], expected[0])
    assert torch.equal(pipeline.text_encoder_2(tokens, attention_mask=mask)[0], expected[1])


def test_adapters_that_are_off_stay_off(sdxl: Any) -> None:
    pipeline = adapted(sdxl)
    for name in TEXT_ENCODERS:
        getattr(pipeline, name).disable_adapters()
    with torch.no_grad():
        expected = pipeline.encode_prompt(PROMPTS)[0]
        fused(pipeline)

        assert torch.equal(pipeline.encode_prompt(PROMPTS)[0], expected)


@pytest.mark.parametrize("training", [{"lora_dropout": 0.5}, {"dora": True}, {"train_text_encoders": False}], ids=str)
def test_what_peft_computes_differently_is_left_to_it(sdxl: Any, training: dict[str, Any]) -> None:
    assert fused(adapted(sdxl, **training)) == 0


@pytest.mark.parametrize("place", [torch.bfloat16, torch.device("meta")], ids=str)
def test_nothing_is_fused_in_half_precision_or_on_another_device(sdxl: Any, place: Any) -> None:
    pipeline = adapted(sdxl)
    for name in TEXT_ENCODERS:
        getattr(pipeline, name).to(place)

    assert fused(pipeline) == 0


def test_undone_encoders_compute_as_before(sdxl: Any) -> None:
    pipeline = adapted(sdxl)
    with torch.no_grad():
        expected = pipeline.encode_prompt(PROMPTS)[0]
        fuse_layers(pipeline.unet, pipeline.text_encoder, pipeline.text_encoder_2).undo()

        assert torch.equal(pipeline.encode_prompt(PROMPTS)[0], expected)
