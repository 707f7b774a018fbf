"""NaN and stop signals in the images of a training: validation image and class images."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from darkroom_runner.errors import InterruptedRunError, NonFiniteOutputError
from darkroom_runner.models import pretrained
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.stop_signal import StopSignal
from darkroom_runner.tasks.train import TrainInputs, TrainTask
from darkroom_runner.training.prior_preservation import ClassImages, generate_class_latents

LARGE, NOT_A_NUMBER = 3e4, float("nan")
"""A weight that fits into half precision, but not its sums; and NaN."""


def ignore(batch: int, batches: int, step: int, total: int) -> None:
    """Ignore progress."""


@pytest.mark.parametrize("fault", [None, torch.OutOfMemoryError("CUDA out of memory.")], ids=["NaN", "memory"])
def test_a_failing_validation_image_does_not_fail_the_training(
    open_training: Callable[..., Any], open_context: Callable[..., Any], photos: Any, fault: Exception | None
) -> None:
    session = open_training(validationPrompt="a photo of sks dog")
    context = open_context(session.spec)

    def spoil(decoder: torch.nn.Module, inputs: Any, pixels: torch.Tensor) -> torch.Tensor:
        if fault is not None:
            raise fault
        return pixels * NOT_A_NUMBER

    session.pipeline.vae.decoder.register_forward_hook(spoil)
    model = pretrained.find_pretrained("test-sdxl", pretrained.SDXL, context.settings.model_root)

    result = TrainTask(context, session.spec).execute(TrainInputs(photos, model), session)

    assert [path.name for path in result.files] == ["pytorch_lora_weights.safetensors", "my-dog.safetensors"]
    assert all(path.stat().st_size > 1000 for path in result.files)
    [remark] = [each for each in context.remarks.collected if each.reason == "ValidationFailed"]
    assert remark.message.startswith("The LoRA is finished, but has no validation image: ")
    assert ("Out of memory" if fault else "The validation image had NaN") in remark.message


def test_a_stop_signal_during_the_validation_image_ends_the_run(
    open_training: Callable[..., Any], open_context: Callable[..., Any], photos: Any
) -> None:
    stop_signal = StopSignal()
    session = open_training(stop_signal, validationPrompt="a photo of sks dog")
    context = open_context(session.spec)
    step = session.progress.step

    def interrupt(number: int, total: int | None = None, **metrics: float) -> None:
        step(number, total, **metrics)
        stop_signal.requested = session.progress.stage == "Denoising"

    session.progress.step = interrupt
    model = pretrained.find_pretrained("test-sdxl", pretrained.SDXL, context.settings.model_root)

    with pytest.raises(InterruptedRunError):
        TrainTask(context, session.spec).execute(TrainInputs(photos, model), session)


def test_class_images_are_retried_in_float32_or_fail(sdxl: Any, open_training: Callable[..., Any], photos: Any) -> None:
    sdxl.to(torch.float16)
    with torch.no_grad():
        sdxl.unet.conv_in.weight.fill_(LARGE)
    remarks = Remarks()

    [[cached]] = generate_class_latents(sdxl, [ClassImages("a photo of a dog", (64, 64), 1)], 0, ignore, remarks)

    assert torch.isfinite(cached.mean).all()
    assert [each.message[:24] for each in remarks.collected] == ["A batch of class images "]
    assert sdxl.unet.dtype == torch.float16

    session = open_training(priorPreservation={"classPrompt": "a photo of a dog", "classImages": 1})
    with torch.no_grad():
        session.pipeline.unet.conv_in.weight.fill_(NOT_A_NUMBER)
    with pytest.raises(NonFiniteOutputError, match="A batch of class images"):
        session.train(photos)


def test_a_quantized_model_is_not_retried_in_float32(sdxl: Any) -> None:
    """diffusers refuses to cast it, with a ValueError."""
    sdxl.to(torch.float16)
    sdxl.unet.is_quantized = True
    with torch.no_grad():
        sdxl.unet.conv_in.weight.fill_(LARGE)

    with pytest.raises(NonFiniteOutputError, match="the base model is quantized"):
        generate_class_latents(sdxl, [ClassImages("a photo of a dog", (64, 64), 1)], 0, ignore, Remarks())

    assert sdxl.unet.dtype == torch.float16


def test_a_validation_image_is_retried_and_adapters_stay_in_float32(
    open_training: Callable[..., Any], photos: Any
) -> None:
    session = open_training()
    session.train(photos)
    session.idle_models.bring_back()
    session.pipeline.to(torch.float16)
    for each in session.adapters.parameters.values():
        each.data = each.data.float()
    session.pipeline.vae.register_to_config(force_upcast=False)
    poisoned = session.pipeline.vae.decoder.conv_in.weight
    with torch.no_grad():
        poisoned.fill_(LARGE)

    image = session.generate_validation_image("a photo of sks dog")

    assert [each.reason for each in session.remarks.collected] == ["DrawnAgain"]
    assert len(image.getcolors(64 * 64) or []) > 1
    assert {each.dtype for each in session.adapters.parameters.values()} == {torch.float32}
    assert poisoned.dtype == torch.float16
    with torch.no_grad():
        poisoned.fill_(NOT_A_NUMBER)
    with pytest.raises(NonFiniteOutputError, match="The validation image"):
        session.generate_validation_image("a photo of sks dog")
