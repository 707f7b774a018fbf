"""Trainings of the small model with every option of optimizers and regularization, and their exact resumption."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from darkroom_contract.base_models import UsedModel
from darkroom_contract.remarks import RemarkReason
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo

EVERYTHING: dict[str, Any] = {
    "layers": "All",
    "dora": True,
    "loraDropout": 0.3,
    "trainTextEncoders": True,
    "textEncoderLearningRate": 1e-3,
    "noiseOffset": 0.1,
    "captionDropout": 0.3,
    "emaDecay": 0.9,
    "batchSize": 2,
    "gradientAccumulationSteps": 2,
    "learningRateSchedule": "cosine",
    "warmupSteps": 1,
    "minSnrGamma": 5.0,
    "maskedLoss": {"unmaskedWeight": 0.2},
    "memory": "Low",
    "checkpointSteps": 2,
}


class KeptCheckpoints(Checkpoints):
    """Keeps the newest state in a folder."""

    def __init__(self, folder: Any) -> None:
        self._state = folder / "state.safetensors"

    def fetch(self, base_model: UsedModel) -> Any:
        return self._state if self._state.exists() else None

    def put(self, step: int, base_model: UsedModel, write: Callable[[Any], None]) -> None:
        write(self._state)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("optimizer", ["AdamW8bit", "Prodigy"])
def test_a_training_with_everything_resumes_to_the_same_weights(
    optimizer: str, open_training: Callable[..., Any], photos: list[Photo], tmp_path: Any
) -> None:
    """The first training leaves the state of step 2, with which the second begins."""
    states, metrics = [], []
    for _ in range(2):
        session = open_training(max_steps=4, **EVERYTHING, optimizer=optimizer)
        session.checkpoints = KeptCheckpoints(tmp_path)
        metrics.append(session.train(photos))
        states.append(session.adapters.state())

    assert "resumedFromStep" not in metrics[0]
    assert metrics[1]["resumedFromStep"] == 2
    assert metrics[0]["finalLoss"] == metrics[1]["finalLoss"]
    assert same(*states)


def test_dropout_is_the_same_for_a_seed_and_changes_the_training(
    open_training: Callable[..., Any], photos: list[Photo]
) -> None:
    found = []
    for probability in (0.0, 0.5, 0.5):
        session = open_training(max_steps=3, loraDropout=probability)
        session.train(photos)
        found.append(session.adapters.state())

    assert same(found[1], found[2])
    assert not same(found[0], found[1])


def test_gradient_checkpointing_changes_no_result(open_training: Callable[..., Any], photos: list[Photo]) -> None:
    found = []
    for memory in ("Auto", "Low"):
        session = open_training(max_steps=3, memory=memory, trainTextEncoders=True)
        session.train(photos)
        found.append(session.adapters.state())

    for name, weight in found[0].items():
        torch.testing.assert_close(found[1][name], weight, rtol=1e-4, atol=1e-6)


def test_low_memory_says_what_it_picked(open_training: Callable[..., Any], photos: list[Photo]) -> None:
    session = open_training(max_steps=1, memory="Low")

    session.train(photos)

    [remark] = session.remarks.collected
    assert remark.reason == RemarkReason.MEMORY_SAVED
    assert "gradient checkpointing" in remark.message
    assert session.pipeline.unet.is_gradient_checkpointing


def test_idle_models_are_dropped_during_the_steps_and_read_again_for_images(
    open_training: Callable[..., Any], photos: list[Photo]
) -> None:
    """The same image as from models that stayed."""
    images, session = [], None
    for prompts in ([], ["a photo of sks dog"]):
        session = open_training(max_steps=1, validationPrompts=prompts)
        session.train(photos)
        idle = [getattr(session.pipeline, name) for name in ("vae", "text_encoder", "text_encoder_2")]
        assert {each.device.type for each in idle} == ({"cpu"} if prompts else {"meta"})
        images.append(session.generate_validation_image("a photo of sks dog").tobytes())

    assert images[0] == images[1]


@pytest.mark.parametrize("quantization", ["NF4", "FP8"])
def test_quantization_is_refused_on_the_cpu(quantization: str, open_training: Callable[..., Any]) -> None:
    with pytest.raises(InvalidRunError, match=f"quantization {quantization} needs a CUDA device"):
        open_training(quantization=quantization)
