"""Both tasks on CUDA, in half precision, with the same code as on the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.plan import plan_training
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import RunError
from darkroom_runner.lora.diffusers_format import load_lora
from darkroom_runner.models.device import find_device, release
from darkroom_runner.models.pretrained import PretrainedModel, load_pipeline
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.progress_events import NullSender
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.sampling.preview import Previews
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.svd import generate_frames
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo
from darkroom_runner.training.outputs import Outputs
from darkroom_runner.training.samples import Samples
from darkroom_runner.training.saved_steps import SavedSteps
from darkroom_runner.training.session import open_session

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
def test_a_lora_is_trained_and_used_for_generation(
    training: dict[str, Any],
    sdxl_model: PretrainedModel,
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
    session = open_session(sdxl_model, spec, ProgressTracker(1, plan_training(spec), NullSender()), StopSignal())

    metrics = session.train(photos)
    session.save(tmp_path / "pytorch_lora_weights.safetensors", {})
    validation = session.generate_validation_image("a photo of sks")

    assert 0 < metrics["finalLoss"] < 10
    assert session.adapters is not None
    assert {parameter.dtype for parameter in session.adapters.parameters.values()} == {torch.float32}
    assert len(validation.getcolors(128 * 128) or []) > 1, "the validation image is blank"
    assert session.remarks.collected == ()
    device = find_device()
    pipeline = load_pipeline(sdxl_model, device.inference_dtype, device.torch_device)
    load_lora(pipeline, tmp_path / "pytorch_lora_weights.safetensors", 1.0, "m")
    assert generate_image(pipeline, generation(), 0, ignore_steps).size == (128, 128)


class LocalCheckpoints(Checkpoints):
    """Keeps the newest state in a local folder instead of object storage."""

    def __init__(self, folder: Path) -> None:
        self._state = folder / "state.safetensors"

    def fetch(self, base_model: UsedModel) -> Path | None:
        return self._state if self._state.exists() else None

    def put(self, step: int, base_model: UsedModel, write: Callable[[Path], None]) -> None:
        write(self._state)


def test_a_training_resumes_from_its_checkpoint(
    sdxl_model: PretrainedModel, photos: list[Photo], tmp_path: Path
) -> None:
    """The first training leaves the state of step 3; the second resumes, with the optimizer state on the GPU."""
    kept, losses = LocalCheckpoints(tmp_path), []
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
        session = open_session(
            sdxl_model, spec, ProgressTracker(1, plan_training(spec), NullSender()), StopSignal(), kept
        )
        losses.append(session.train(photos))

    assert "resumedFromStep" not in losses[0]
    assert losses[1]["resumedFromStep"] == 3
    # The same steps; on a GPU the order of additions varies.
    assert losses[1]["finalLoss"] == pytest.approx(losses[0]["finalLoss"], rel=0.02)


class LocalSamples(Samples):
    """Keeps the images in memory."""

    def __init__(self) -> None:
        self.images: list[Image.Image] = []

    def find_stored(self) -> None:
        """There are no earlier runs."""

    def has(self, step: int, prompt: int) -> bool:
        return False

    def add(self, step: int, prompt: int, image: Image.Image, info: Any) -> None:
        self.images.append(image)

    def publish(self) -> None:
        """There is no storage."""

    def note_failure(self, step: int, failure: RunError) -> None:
        raise failure


def test_samples_bring_idle_models_back_for_a_while_and_do_not_change_the_training(
    sdxl_model: PretrainedModel, photos: list[Photo]
) -> None:
    losses, places = [], []
    for interval in (0, 2):
        training = {"rank": 4, "validationPrompt": "a photo of sks", "validationSteps": interval}
        spec = TrainJobSpec.from_dict(
            {
                "modelId": "m",
                "prompt": "a photo of sks",
                "dataset": {"uri": "s3://bucket/photos/"},
                "maxSteps": 6,
                "training": training,
            }
        )
        progress, samples = ProgressTracker(1, plan_training(spec), NullSender()), LocalSamples()
        outputs = Outputs(samples, cast("SavedSteps", None), lambda *_: {}, lambda *_: cast("Any", None))
        session = open_session(sdxl_model, spec, progress, StopSignal(), outputs=outputs)
        step = progress.step

        def record(*done: Any, session: Any = session, step: Any = step, **metrics: float) -> None:
            if "loss" in metrics:
                places.append(session.pipeline.vae.device.type)
            step(*done, **metrics)

        progress.step = record  # type: ignore[assignment, method-assign]
        losses.append(session.train(photos)["finalLoss"])
        assert len(samples.images) == (2 if interval else 0)
        assert all(len(image.getcolors(128 * 128) or []) > 1 for image in samples.images)

    assert set(places) == {"cpu"}
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


@pytest.mark.parametrize("profile", ["Disabled", "Balanced"])
def test_images_are_generated_in_half_precision_and_equal_for_a_seed(
    profile: str, sdxl_model: PretrainedModel, ignore_steps: Callable[..., Any]
) -> None:
    device = find_device()
    pipeline = load_pipeline(sdxl_model, device.inference_dtype, device.torch_device)
    spec = generation(cache={"profile": profile})

    first, again, other = (generate_image(pipeline, spec, seed, ignore_steps) for seed in (1, 1, 2))

    assert pipeline.unet.dtype == torch.float16
    assert first.tobytes() == again.tobytes() != other.tobytes()
    assert len(first.getcolors(128 * 128) or []) > 1, "the image is blank"


def test_previews_arrive_and_do_not_change_the_image(
    sdxl_model: PretrainedModel, ignore_steps: Callable[..., Any]
) -> None:
    device, shown = find_device(), list[int]()
    pipeline = load_pipeline(sdxl_model, device.inference_dtype, device.torch_device)
    previews = Previews(1, lambda seed, step, jpeg: shown.append(step))
    spec = generation(images={"steps": 12})

    without = generate_image(pipeline, spec, 1, ignore_steps)
    image = generate_image(pipeline, spec, 1, ignore_steps, previews=previews)

    assert image.tobytes() == without.tobytes()
    assert shown == sorted(shown) != []


def test_sdxl_is_released_before_svd_is_loaded(
    sdxl_model: PretrainedModel, svd_model: PretrainedModel, ignore_steps: Callable[..., Any]
) -> None:
    device = find_device()
    before = torch.cuda.memory_allocated()
    pipeline = load_pipeline(sdxl_model, device.inference_dtype, device.torch_device)
    image = generate_image(pipeline, generation(), 0, ignore_steps)

    release(pipeline)

    assert torch.cuda.memory_allocated() <= before + 2**20
    video = load_pipeline(svd_model, device.inference_dtype, device.torch_device)
    frames = generate_frames(video, image, generation(), ignore_steps)
    assert len(frames) > 1
    assert frames[0].tobytes() != frames[-1].tobytes()


def train(sdxl_model: PretrainedModel, photos: list[Photo], **training: Any) -> Any:
    """Train a few steps; returns the session and its metrics."""
    spec = TrainJobSpec.from_dict(
        {
            "modelId": "m",
            "prompt": "a photo of sks",
            "dataset": {"uri": "s3://bucket/photos/"},
            "maxSteps": 4,
            "training": {"rank": 4, **training},
        }
    )
    session = open_session(sdxl_model, spec, ProgressTracker(1, plan_training(spec), NullSender()), StopSignal())
    return session, session.train(photos)


@pytest.mark.parametrize("optimizer", ["AdamW", "AdamW8bit", "Adafactor", "Prodigy"])
def test_every_optimizer_trains_on_the_card(optimizer: str, sdxl_model: PretrainedModel, photos: list[Photo]) -> None:
    session, metrics = train(sdxl_model, photos, optimizer=optimizer, emaDecay=0.9, noiseOffset=0.05)

    assert 0 < metrics["finalLoss"] < 10
    assert all(torch.isfinite(each).all() for each in session.adapters.state().values())


@pytest.mark.parametrize("quantization", ["NF4", "FP8"])
def test_a_quantized_base_model_is_smaller_and_is_trained(
    quantization: str, sdxl_model: PretrainedModel, photos: list[Photo]
) -> None:
    if quantization == "FP8" and find_device().capability < (8, 9):
        pytest.skip("needs a card of compute capability 8.9 or above")

    session, metrics = train(sdxl_model, photos, quantization=quantization)

    assert 0 < metrics["finalLoss"] < 10
    assert any("lora_B" in name and weight.abs().max() > 0 for name, weight in session.adapters.state().items())
    assert len(session.generate_validation_image("a photo of sks").getcolors(128 * 128) or []) > 1


def test_low_memory_checkpoints_quantizes_and_says_so(sdxl_model: PretrainedModel, photos: list[Photo]) -> None:
    session, _ = train(sdxl_model, photos, memory="Low")

    [remark] = session.remarks.collected
    assert remark.reason == "MemorySaved"
    assert "NF4" in remark.message
    assert session.pipeline.unet.is_gradient_checkpointing
    assert session.pipeline.vae.device.type == "cpu"
