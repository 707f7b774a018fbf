"""Training sessions on the small model, in this process: the effect of each setting, and reproducibility."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import published

from darkroom_contract.plan import CLASS_IMAGE_STEPS
from darkroom_runner.errors import InterruptedRunError, ModelIncompatibleError, TrainingDivergedError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.training import prior_preservation
from darkroom_runner.training.prior_preservation import ClassImages, generate_class_latents

Train = Callable[..., tuple[dict[str, torch.Tensor], dict[str, float]]]


@pytest.fixture(scope="module")
def train(open_training: Callable[..., Any], photos: Any) -> Train:
    """Train; returns the adapters' weights and the metrics."""

    def run(**settings: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        session = open_training(**settings)
        metrics = session.train(photos)
        return session.adapters.state(), metrics

    return run


@pytest.fixture(scope="module")
def plain(train: Train) -> dict[str, torch.Tensor]:
    """Weights trained with default settings."""
    return train()[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_bit_identical_weights(train: Train) -> None:
    settings = {
        "seed": 5,
        "layers": "All",
        "trainTextEncoders": True,
        "randomFlip": True,
        "priorPreservation": {"classPrompt": "a photo of a dog", "classImages": 2},
    }

    first, _ = train(**settings)
    again, _ = train(**settings)
    other, _ = train(**{**settings, "seed": 6})

    assert same(first, again)
    assert not same(first, other)


def test_training_lowers_the_loss(train: Train) -> None:
    # Both use the same random numbers at each step, so the losses of the last steps can be compared.
    _, idle = train(max_steps=40, learningRate=1e-8)
    _, learned = train(max_steps=40, learningRate=2e-2)

    assert learned["finalLoss"] < idle["finalLoss"]


@pytest.mark.parametrize(
    "setting",
    [
        {"batchSize": 2},
        {"gradientAccumulationSteps": 2},
        {"maxGradNorm": 1e-3},
        {"learningRateSchedule": "cosine"},
        {"learningRateSchedule": "linear"},
        {"warmupSteps": 2},
        {"minSnrGamma": 1.0},
        {"resolution": 128},
        {"alpha": 1},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_every_setting_has_an_effect(train: Train, plain: dict[str, torch.Tensor], setting: dict[str, Any]) -> None:
    changed, _ = train(**setting)

    assert plain.keys() == changed.keys()
    assert not same(plain, changed)


@pytest.mark.parametrize(
    ("setting", "component", "word"),
    [
        ({"layers": "Attention"}, "unet", "attn"),
        ({"layers": "All"}, "unet", "conv1"),
        ({"layers": "All"}, "unet", "ff.net"),
        ({"trainTextEncoders": True}, "text_encoder", "q_proj"),
        ({"trainTextEncoders": True}, "text_encoder_2", "q_proj"),
    ],
)
def test_adapters_are_added_to_the_layers_that_the_job_selects(
    train: Train, setting: dict[str, Any], component: str, word: str
) -> None:
    state, _ = train(max_steps=2, **setting)

    trained = [name for name, weight in state.items() if "lora_B" in name and weight.abs().max() > 0]

    assert any(name.startswith(f"{component}.") and word in name for name in trained)


def test_the_weight_of_prior_preservation_has_an_effect(train: Train, plain: dict[str, torch.Tensor]) -> None:
    prior = {"classPrompt": "a photo of a dog", "classImages": 1}

    lightly, _ = train(priorPreservation={**prior, "weight": 0.0})
    fully, _ = train(priorPreservation={**prior, "weight": 1.0})

    assert not same(lightly, fully)
    assert not same(plain, fully)


def test_class_images_are_generated_with_the_unet_cache(
    open_training: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior_preservation, "CLASS_IMAGE_STEPS", CLASS_IMAGE_STEPS)
    session = open_training()
    deepest, reported = session.pipeline.unet.mid_block.resnets[0], []
    whole_passes: list[object] = []
    with deepest.register_forward_hook(lambda *_: whole_passes.append(None)):
        wanted = [ClassImages("a photo of a dog", (session.side_px, session.side_px), 6)]
        [latents] = generate_class_latents(session.pipeline, wanted, 0, lambda *step: reported.append(step), Remarks())
    assert len(latents) == 6
    batches = 2
    assert reported[-1] == (batches - 1, batches, CLASS_IMAGE_STEPS, CLASS_IMAGE_STEPS)
    assert len(reported) == batches * CLASS_IMAGE_STEPS
    assert batches <= len(whole_passes) <= batches * CLASS_IMAGE_STEPS // 3


def test_a_diverged_training_fails_with_advice(train: Train, photos: Any, open_training: Callable[..., Any]) -> None:
    session = open_training(max_steps=50, layers="All", learningRate=1.0, maxGradNorm=0.0)
    session.pipeline.unet.conv_out.weight.data.fill_(float("inf"))

    with pytest.raises(
        TrainingDivergedError,
        match=r"^Training diverged: the loss became \w+ at step \d+\. Lower training\.learningRate \(now 1\)",
    ):
        session.train(photos)


def test_a_stop_signal_ends_the_training_after_the_current_step(open_training: Callable[..., Any], photos: Any) -> None:
    stop_signal = StopSignal()
    session = open_training(stop_signal, max_steps=1000)
    steps = []

    def stop_at_the_second(step: int, *_: Any, **__: Any) -> None:
        steps.append(step)
        stop_signal.requested = session.progress.stage == "Training" and step == 2

    session.progress.step = stop_at_the_second

    with pytest.raises(InterruptedRunError):
        session.train(photos)

    assert steps[-1] == 2


def test_an_unknown_prediction_type_is_refused(open_training: Callable[..., Any], photos: Any) -> None:
    session = open_training()
    session.pipeline.scheduler.register_to_config(prediction_type="flow")

    with pytest.raises((ModelIncompatibleError, ValueError), match="flow"):
        session.train(photos)


def test_an_edm_base_model_is_refused_before_any_image_is_generated(
    open_training: Callable[..., Any], photos: Any
) -> None:
    """Otherwise noise would be added with linear betas, which it was not trained with."""
    session = open_training(priorPreservation={"classPrompt": "a photo of a dog", "classImages": 1})
    session.pipeline.scheduler = published.scheduler("playgroundai/playground-v2.5-1024px-aesthetic")
    reported: list[object] = []
    session.progress.step = lambda *step, **_: reported.append(step)

    with pytest.raises(ModelIncompatibleError, match="EDMDPMSolverMultistepScheduler"):
        session.train(photos)

    assert reported == []
