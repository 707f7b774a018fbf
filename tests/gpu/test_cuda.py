"""Both jobs on CUDA, through the runner's own functions: the same code as on the CPU, in half precision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import plan_training
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_runner import lora
from darkroom_runner.base_models import BaseModel, load_pipeline
from darkroom_runner.checkpoints import Checkpoints
from darkroom_runner.dataset import Photo
from darkroom_runner.device import find_device, release
from darkroom_runner.interruption import Interruption
from darkroom_runner.pictures import draw_picture
from darkroom_runner.progress import Progress, Silence
from darkroom_runner.training.session import open_session
from darkroom_runner.video import animate

EVERYTHING = {
    "rank": 4,
    "layers": "All",
    "trainTextEncoders": True,
    "randomFlip": True,
    "minSnrGamma": 5.0,
    "batchSize": 2,
    "gradientAccumulationSteps": 2,
    "priorPreservation": {"classPrompt": "a red circle", "classImages": 2},
}


def generation(**extra: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a red circle", "images": {"steps": 6}, "video": {"steps": 3}, **extra})


@pytest.mark.parametrize("training", [{"rank": 4}, EVERYTHING], ids=["defaults", "everything"])
def test_a_lora_is_trained_and_drawn_with(
    training: dict[str, Any],
    sdxl_model: BaseModel,
    photos: list[Photo],
    tmp_path: Path,
    ignore_steps: Callable[..., Any],
) -> None:
    spec = TrainJobSpec.from_dict(
        {
            "modelId": "m",
            "prompt": "a photo of sks",
            "dataset": {"uri": "s3://bucket/photos/"},
            "maxSteps": 4,
            "training": training,
        }
    )
    session = open_session(sdxl_model, spec, Progress(1, plan_training(spec), Silence()), Interruption())

    metrics = session.learn(photos)
    session.save(tmp_path / "pytorch_lora_weights.safetensors", {})
    validation = session.draw_validation("a photo of sks")

    assert 0 < metrics["finalLoss"] < 10
    assert session.adapters is not None
    assert {parameter.dtype for parameter in session.adapters.parameters.values()} == {torch.float32}
    assert len(validation.getcolors(128 * 128) or []) > 1, "the validation picture is blank"
    assert session.remarks.found == ()
    device = find_device()
    pipeline = load_pipeline(sdxl_model, device.drawing_dtype, device.place)
    lora.load(pipeline, tmp_path / "pytorch_lora_weights.safetensors", 1.0, "m")
    assert draw_picture(pipeline, generation(), 0, ignore_steps).size == (128, 128)


class Kept(Checkpoints):
    """The newest state, in a folder in place of object storage."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state.safetensors"

    def fetch(self, base_model: UsedModel) -> Path | None:
        return self._state if self._state.exists() else None

    def put(self, step: int, base_model: UsedModel, write: Callable[[Path], None]) -> None:
        write(self._state)


def test_a_training_goes_on_from_its_state(sdxl_model: BaseModel, photos: list[Photo], tmp_path: Path) -> None:
    """Once to its end, leaving the state of step 3; then from there, with the optimizer's state back on the card."""
    kept, losses = Kept(tmp_path), []
    for _ in range(2):
        spec = TrainJobSpec.from_dict(
            {
                "modelId": "m",
                "prompt": "a photo of sks",
                "dataset": {"uri": "s3://bucket/photos/"},
                "maxSteps": 6,
                "training": {**EVERYTHING, "checkpointSteps": 3},
            }
        )
        session = open_session(sdxl_model, spec, Progress(1, plan_training(spec), Silence()), Interruption(), kept)
        losses.append(session.learn(photos))

    assert "resumedFromStep" not in losses[0]
    assert losses[1]["resumedFromStep"] == 3
    # The same steps; a card adds up in no fixed order.
    assert losses[1]["finalLoss"] == pytest.approx(losses[0]["finalLoss"], rel=0.02)


@pytest.mark.parametrize("profile", ["Disabled", "Balanced"])
def test_pictures_are_drawn_in_half_precision_and_alike_for_a_seed(
    profile: str, sdxl_model: BaseModel, ignore_steps: Callable[..., Any]
) -> None:
    device = find_device()
    pipeline = load_pipeline(sdxl_model, device.drawing_dtype, device.place)
    spec = generation(cache={"profile": profile})

    first, again, other = (draw_picture(pipeline, spec, seed, ignore_steps) for seed in (1, 1, 2))

    assert pipeline.unet.dtype == torch.float16
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert len(first.getcolors(128 * 128) or []) > 1, "the picture is blank"


def test_sdxl_leaves_the_card_before_svd_comes(
    sdxl_model: BaseModel, svd_model: BaseModel, ignore_steps: Callable[..., Any]
) -> None:
    device = find_device()
    before = torch.cuda.memory_allocated()
    pipeline = load_pipeline(sdxl_model, device.drawing_dtype, device.place)
    picture = draw_picture(pipeline, generation(), 0, ignore_steps)

    release(pipeline)

    assert torch.cuda.memory_allocated() <= before + 2**20
    video = load_pipeline(svd_model, device.drawing_dtype, device.place)
    frames = animate(video, picture, generation(), ignore_steps)
    assert len(frames) > 1
    assert frames[0].tobytes() != frames[-1].tobytes()
