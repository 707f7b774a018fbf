"""Fused parts of the U-Net compute what diffusers' and peft's modules compute, in both passes."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_2d import Transformer2DModel

from darkroom_contract.specs.training import Training
from darkroom_runner.lora.adapters import add_adapters
from darkroom_runner.training import session as session_module
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.fused import convolutions, projections
from darkroom_runner.training.fused.layers import (
    ATTENTION,
    CONVOLUTION,
    FEED_FORWARD,
    RESNET,
    TEXT_INDEX,
    Fused,
    fuse_layers,
)
from darkroom_runner.training.fused.norms import GroupNormSilu

Result = tuple[torch.Tensor, dict[str, torch.Tensor]]


def run(unet: Any, text: torch.Tensor, index: list[int] | None = None) -> Result:
    """Prediction, and gradients by parameter and of the text. `index`: which text each sample has."""
    rng = torch.Generator().manual_seed(4)
    pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
    text = text.detach().clone().requires_grad_()
    prediction = unet(
        torch.randn(2, 4, 8, 8, generator=rng),
        torch.tensor([500, 20]),
        encoder_hidden_states=text,
        cross_attention_kwargs=None if index is None else {TEXT_INDEX: torch.tensor(index)},
        added_cond_kwargs={"text_embeds": torch.randn(2, pooled, generator=rng), "time_ids": torch.ones(2, 6)},
    ).sample
    unet.zero_grad()
    prediction.square().sum().backward()
    gradients = {name: each.grad.clone() for name, each in unet.named_parameters() if each.grad is not None}
    assert text.grad is not None
    return prediction.detach(), {**gradients, "text": text.grad}


@pytest.fixture
def unet(sdxl: Any) -> Any:
    return adapted(sdxl, rank=4, alpha=2)


def adapted(pipeline: Any, **training: Any) -> Any:
    """A U-Net with adapters whose second matrix is not zero, in training mode."""
    add_adapters(pipeline, Training(**training))
    rng = torch.Generator().manual_seed(3)
    for name, parameter in pipeline.unet.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)
    return pipeline.unet.train()


def texts(unet: Any, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 77, unet.config.cross_attention_dim, generator=torch.Generator().manual_seed(5))


def require_close(one: Result, other: Result) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-5)
    assert one[1].keys() == other[1].keys()
    for name, gradient in one[1].items():
        torch.testing.assert_close(gradient, other[1][name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_output_and_all_gradients_are_those_of_the_modules(unet: Any, checkpointing: bool) -> None:
    text = texts(unet)
    modules = run(unet, text)

    kinds = Counter(type(each).__name__ for each in unet.modules())
    assert fuse_layers(unet).counts == {
        ATTENTION: kinds["Attention"],
        FEED_FORWARD: kinds["FeedForward"],
        RESNET: kinds["ResnetBlock2D"],
        CONVOLUTION: kinds["Upsample2D"],
    }
    if checkpointing:
        unet.enable_gradient_checkpointing()

    require_close(run(unet, text), modules)


@pytest.mark.parametrize("of_input", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "last"])
@pytest.mark.parametrize("of_gradient", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "last"])
def test_gradient_of_a_norm_has_any_memory_format(of_input: Any, of_gradient: Any) -> None:
    rng = torch.Generator().manual_seed(6)
    x, gradient = (torch.randn(2, 8, 4, 4, generator=rng) for _ in range(2))
    weight, bias = torch.rand(8, generator=rng), torch.rand(8, generator=rng)
    leaf = x.clone().requires_grad_()
    torch.nn.functional.silu(torch.nn.functional.group_norm(leaf, 2, weight, bias)).backward(gradient)

    norm = GroupNormSilu(weight, bias, groups=2, eps=1e-5)
    found = norm.backward(gradient.contiguous(memory_format=of_gradient), x.contiguous(memory_format=of_input))

    torch.testing.assert_close(found, leaf.grad)


def test_output_of_a_transformer_has_the_memory_format_of_its_input(unet: Any) -> None:
    """It is not copied between two convolutions."""
    strides = []

    def record(module: Any, given: Any, output: Any) -> None:
        strides.append((given[0].stride(), output[0].stride()))

    for each in unet.modules():
        if isinstance(each, Transformer2DModel):
            each.register_forward_hook(record)
    fuse_layers(unet)

    unet_output(unet, texts(unet))

    assert strides
    assert all(given == output for given, output in strides)


@pytest.mark.parametrize("place", [torch.bfloat16, torch.float16, torch.device("meta")], ids=str)
def test_nothing_is_fused_in_half_precision_or_on_another_device(unet: Any, place: Any) -> None:
    """As with the quantized models and autocast of CUDA."""
    fused = fuse_layers(unet.to(place))

    assert (+fused.counts, fused.replaced) == (Counter(), ())


def test_undone_modules_compute_as_before(unet: Any) -> None:
    with torch.no_grad():
        modules = unet_output(unet, texts(unet))
        fused = fuse_layers(unet)
        fused_output = unet_output(unet, texts(unet))

        fused.undo()

        assert torch.equal(unet_output(unet, texts(unet)), modules)
        assert not torch.equal(fused_output, modules)


def test_large_weights_are_not_kept_twice(unet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They take other functions, with the same results."""
    monkeypatch.setattr(convolutions, "_PACKED_BYTES", 0)
    monkeypatch.setattr(projections, "_JOINED_BYTES", 0)
    modules = run(unet, texts(unet))

    def forbidden(*arguments: Any) -> None:
        raise AssertionError("weights were packed")

    monkeypatch.setattr(convolutions.Convolution, "_pack", forbidden)
    fuse_layers(unet)

    require_close(run(unet, texts(unet)), modules)


@pytest.mark.parametrize(
    ("training", "fused"),
    [
        ({"layers": "All"}, {ATTENTION}),
        ({"dora": True}, {FEED_FORWARD, RESNET, CONVOLUTION}),
    ],
)
def test_parts_that_peft_computes_differently_are_left_to_it(
    sdxl: Any, training: dict[str, Any], fused: set[str]
) -> None:
    unet = adapted(sdxl, rank=4, **training)
    modules = run(unet, texts(unet))

    assert set(+fuse_layers(unet).counts) == fused

    require_close(run(unet, texts(unet)), modules)


@pytest.mark.parametrize("training", [{}, {"dora": True}])
def test_samples_that_share_a_text_add_up_its_gradient(sdxl: Any, training: dict[str, Any]) -> None:
    unet = adapted(sdxl, rank=4, **training)
    text = texts(unet, 1)
    prediction, gradients = run(unet, text.expand(2, -1, -1))

    assert fuse_layers(unet).takes_text_index

    gradients["text"] = gradients["text"].sum(dim=0, keepdim=True)
    require_close(run(unet, text, [0, 0]), (prediction, gradients))


def test_text_index_gives_each_sample_its_own_text(unet: Any) -> None:
    text = texts(unet)
    prediction, gradients = run(unet, text.flip(0))
    fuse_layers(unet)

    gradients["text"] = gradients["text"].flip(0)
    require_close(run(unet, text, [1, 0]), (prediction, gradients))


def test_fused_training_keeps_fewer_activations(unet: Any) -> None:
    """Bytes that autograd keeps between the two passes, without weights."""

    def kept_bytes() -> int:
        weights = {each.untyped_storage().data_ptr() for each in unet.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            unet_output(unet, texts(unet))
        return sum(kept.values())

    modules = kept_bytes()
    fuse_layers(unet)

    assert kept_bytes() < 0.75 * modules


def test_adapters_that_are_off_stay_off(unet: Any) -> None:
    text = torch.randn(2, 77, unet.config.cross_attention_dim)
    with torch.no_grad():
        adapted_output = unet_output(unet, text)
        unet.disable_adapters()
        expected = unet_output(unet, text)
        fuse_layers(unet)

        difference = (unet_output(unet, text) - expected).abs().max()
        assert difference < 1e-5 < 0.01 < (adapted_output - expected).abs().max()


def unet_output(unet: Any, text: torch.Tensor) -> torch.Tensor:
    pooled = unet.config.projection_class_embeddings_input_dim - 6 * unet.config.addition_time_embed_dim
    condition = {"text_embeds": torch.ones(2, pooled), "time_ids": torch.ones(2, 6)}
    output: torch.Tensor = unet(
        torch.ones(2, 4, 8, 8), torch.tensor(9), encoder_hidden_states=text, added_cond_kwargs=condition
    ).sample
    return output


def test_dropout_is_left_to_peft(sdxl: Any) -> None:
    assert fuse_layers(adapted(sdxl, rank=4, lora_dropout=0.5)).counts[ATTENTION] == 0


@pytest.mark.parametrize(
    "training", [{}, {"dora": True}, {"loraDropout": 0.1}, {"trainTextEncoders": True, "layers": "All"}]
)
def test_a_training_has_the_same_losses_with_and_without(
    open_training: Callable[..., Any],
    photos: list[Photo],
    monkeypatch: pytest.MonkeyPatch,
    training: dict[str, Any],
) -> None:
    losses = []
    nothing = Fused(Counter(), takes_text_index=False)
    for fuse in (fuse_layers, lambda *models: nothing):
        monkeypatch.setattr(session_module, "fuse_layers", fuse)
        seen: list[float] = []
        session = open_training(max_steps=8, **training)
        report = session.progress.step

        def record(*step: Any, seen: list[float] = seen, report: Any = report, **metrics: float) -> None:
            if "loss" in metrics:
                seen.append(metrics["loss"])
            report(*step, **metrics)

        session.progress.step = record
        session.train(photos)
        losses.append(seen)

    assert len(losses[0]) == 8
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
