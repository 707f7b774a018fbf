"""Training sessions on the small model, in this process: what each setting does, and that nothing is left to chance."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import published

from darkroom_contract.plan import CLASS_IMAGE_CACHE_INTERVAL, CLASS_IMAGE_STEPS
from darkroom_runner.errors import InterruptedRunError, ModelIncompatibleError, TrainingDivergedError
from darkroom_runner.interruption import Interruption
from darkroom_runner.remarks import Remarks
from darkroom_runner.training.prior import draw_class_encodings

Train = Callable[..., tuple[dict[str, torch.Tensor], dict[str, float]]]


@pytest.fixture(scope="module")
def train(open_training: Callable[..., Any], photos: Any) -> Train:
    """Train; the adapters' weights, and the metrics."""

    def run(**settings: Any) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        session = open_training(**settings)
        metrics = session.learn(photos)
        return session.adapters.state(), metrics

    return run


@pytest.fixture(scope="module")
def plain(train: Train) -> dict[str, torch.Tensor]:
    """Weights trained with every setting at its default."""
    return train()[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_weights_to_the_bit(train: Train) -> None:
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
    # A step's random numbers are the same in both, so the losses of the last steps can be compared.
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
def test_every_setting_does_something(train: Train, plain: dict[str, torch.Tensor], setting: dict[str, Any]) -> None:
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
def test_adapters_are_put_where_the_job_wants_them(
    train: Train, setting: dict[str, Any], component: str, word: str
) -> None:
    state, _ = train(max_steps=2, **setting)

    trained = [name for name, weight in state.items() if "lora_B" in name and weight.abs().max() > 0]

    assert any(name.startswith(f"{component}.") and word in name for name in trained)


def test_prior_preservation_pulls_towards_the_class(train: Train, plain: dict[str, torch.Tensor]) -> None:
    prior = {"classPrompt": "a photo of a dog", "classImages": 1}

    lightly, _ = train(priorPreservation={**prior, "weight": 0.0})
    fully, _ = train(priorPreservation={**prior, "weight": 1.0})

    assert not same(lightly, fully)
    assert not same(plain, fully)


def test_class_pictures_are_drawn_through_deepcache(open_training: Callable[..., Any]) -> None:
    session = open_training()
    deepest, told = session.pipeline.unet.mid_block.resnets[0], []
    whole_passes: list[object] = []
    with deepest.register_forward_hook(lambda *_: whole_passes.append(None)):
        prompt, side_px = "a photo of a dog", session.side_px
        drawn = draw_class_encodings(
            session.pipeline, prompt, 6, side_px, 0, lambda *step: told.append(step), Remarks()
        )
    assert len(drawn) == 6
    batches = 2
    assert told[-1] == (batches * CLASS_IMAGE_STEPS, batches * CLASS_IMAGE_STEPS)
    assert len(whole_passes) == batches * math.ceil(CLASS_IMAGE_STEPS / CLASS_IMAGE_CACHE_INTERVAL)


def test_a_learning_rate_beyond_reason_is_told_with_advice(
    train: Train, photos: Any, open_training: Callable[..., Any]
) -> None:
    session = open_training(max_steps=50, layers="All", learningRate=1.0, maxGradNorm=0.0)
    session.pipeline.unet.conv_out.weight.data.fill_(float("inf"))

    with pytest.raises(TrainingDivergedError, match=r"Lower training\.learningRate \(now 1\)"):
        session.learn(photos)


def test_an_interrupted_training_stops_after_the_present_step(open_training: Callable[..., Any], photos: Any) -> None:
    interruption = Interruption()
    session = open_training(interruption, max_steps=1000)
    steps = []

    def interrupt_at_the_second(step: int, *_: Any, **__: Any) -> None:
        steps.append(step)
        interruption.requested = session.progress._stage == "Training" and step == 2

    session.progress.step = interrupt_at_the_second

    with pytest.raises(InterruptedRunError):
        session.learn(photos)

    assert steps[-1] == 2


def test_a_base_model_that_predicts_something_unknown_is_refused(
    open_training: Callable[..., Any], photos: Any
) -> None:
    session = open_training()
    session.pipeline.scheduler.register_to_config(prediction_type="flow")

    with pytest.raises((ModelIncompatibleError, ValueError), match="flow"):
        session.learn(photos)


def test_an_edm_base_model_is_refused_before_anything_is_drawn(open_training: Callable[..., Any], photos: Any) -> None:
    """Its latents would be noised along linear betas that it never saw."""
    session = open_training(priorPreservation={"classPrompt": "a photo of a dog", "classImages": 1})
    session.pipeline.scheduler = published.scheduler("playgroundai/playground-v2.5-1024px-aesthetic")
    told: list[object] = []
    session.progress.step = lambda *step, **_: told.append(step)

    with pytest.raises(ModelIncompatibleError, match="EDMDPMSolverMultistepScheduler"):
        session.learn(photos)

    assert told == []
