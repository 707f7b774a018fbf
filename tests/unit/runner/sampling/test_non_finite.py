"""NaN in half precision: images and clips are generated again in float32, or fail with `NonFiniteOutput`.

The CPU runs small models in half precision as a GPU does. Weights are poisoned so that sums exceed 65,504.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from darkroom_runner.errors import NonFiniteOutputError
from darkroom_runner.lora.diffusers_format import load_lora
from darkroom_runner.models import pretrained
from darkroom_runner.models.device import Device
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.non_finite import has_finite_weights, retry_in_float32
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.tasks.generate import GenerateTask
from darkroom_runner.tasks.image_to_video import GeneratedClip, generate_clip
from darkroom_runner.tasks.text_to_image import GeneratedImage

pytestmark = pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
"""diffusers' pipeline itself calls it for a float16 VAE."""

HALF = Device(torch.device("cpu"), torch.float16, torch.bfloat16)
SINGLE = Device(torch.device("cpu"), torch.float32, torch.float32)
DECODER = ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.weight")
UNET = ("unet/diffusion_pytorch_model.safetensors", "conv_in.weight")
LARGE, BEYOND_HALF, NOT_A_NUMBER = 3e4, 1e6, float("nan")
"""A weight that fits into half precision, but not its sums; one that does not fit; and NaN."""


def animate(models: Any, image: GeneratedImage, inputs: Any) -> GeneratedClip:
    models.release()
    return generate_clip(models.context, models.spec, models.device, inputs.video_model, image)


def reasons(models: Any) -> list[str]:
    return [each.reason for each in models.context.remarks.collected]


def dtypes(pipeline: Any) -> set[torch.dtype]:
    models = [each for each in pipeline.components.values() if isinstance(each, torch.nn.Module)]
    return {each.dtype for model in models for each in model.parameters()}


def test_a_finite_image_is_generated_once(open_text_to_image: Callable[..., Any]) -> None:
    models, _ = open_text_to_image("test-sdxl", HALF)

    [image], _ = models.generate()

    assert dtypes(models.pipeline) == {torch.float16}
    assert reasons(models) == []
    assert len(image.image.getcolors(64 * 64) or []) > 1


@pytest.mark.parametrize("weight", [DECODER, UNET], ids=["VAE", "U-Net"])
def test_an_overflow_is_retried_in_float32_with_the_same_seed(
    open_text_to_image: Callable[..., Any], poison: Callable[..., str], weight: tuple[str, str]
) -> None:
    name = poison("test-sdxl", weight, LARGE)
    models, _ = open_text_to_image(name, HALF, count=2, seed=5)

    images, _ = models.generate()

    assert reasons(models) == ["DrawnAgain"] * 2
    assert models.context.remarks.collected[0].message.startswith("The image of seed 5 had NaN or infinite values")
    assert dtypes(models.pipeline) == {torch.float16}
    assert [len(each.image.getcolors(64 * 64) or []) > 1 for each in images] == [True, True]
    single, _ = open_text_to_image(name, SINGLE, count=2, seed=5)
    expected, _ = single.generate()
    assert reasons(single) == []
    for one, other in zip(images, expected, strict=True):
        assert difference(one.image, other.image) < 12


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of 255. The float32 retry uses weights rounded to half precision."""
    pixels = [torch.frombuffer(bytearray(each.tobytes()), dtype=torch.uint8).float() for each in (one, other)]
    return float((pixels[0] - pixels[1]).abs().mean())


def test_weights_beyond_half_precision_switch_the_job_to_float32(
    open_text_to_image: Callable[..., Any], poison: Callable[..., str]
) -> None:
    name = poison("test-sdxl", DECODER, BEYOND_HALF)
    models, _ = open_text_to_image(name, HALF)

    [image], _ = models.generate()

    assert dtypes(models.pipeline) == {torch.float32}
    [remark] = models.context.remarks.collected
    assert remark.message == (
        f"Weights of '{name}' or its LoRA exceed half precision's range: everything is generated in float32."
    )
    single, _ = open_text_to_image(name, SINGLE)
    assert image.image.tobytes() == single.generate()[0][0].image.tobytes()


@pytest.mark.parametrize("device", [HALF, SINGLE], ids=["half", "single"])
def test_an_image_that_is_never_finite_fails(
    open_text_to_image: Callable[..., Any], poison: Callable[..., str], device: Device
) -> None:
    models, _ = open_text_to_image(poison("test-sdxl", DECODER, NOT_A_NUMBER), device)
    with pytest.raises(NonFiniteOutputError, match="The image of seed 0 had NaN or infinite values in float32"):
        models.generate()


def test_a_clip_is_retried_in_float32_or_fails(
    open_text_to_image: Callable[..., Any], poison: Callable[..., str]
) -> None:
    models, inputs = open_text_to_image("test-sdxl", HALF, poison("test-svd", DECODER, LARGE))
    image = models.generate()[0][0]

    clip = animate(models, image, inputs)

    assert clip.path.name == "a-job.mp4"
    assert clip.metrics["videoFrames"] == 4
    assert reasons(models) == ["DrawnAgain"]
    assert models.context.remarks.collected[0].message.startswith("The clip had NaN")

    models, inputs = open_text_to_image("test-sdxl", HALF, poison("test-svd", DECODER, NOT_A_NUMBER))
    image = models.generate()[0][0]
    with pytest.raises(NonFiniteOutputError, match="The clip"):
        animate(models, image, inputs)


def test_an_image_that_is_never_finite_is_skipped(open_text_to_image: Callable[..., Any]) -> None:
    models, _ = open_text_to_image("test-sdxl", SINGLE, count=3, seed=5)
    expected = [each.image.tobytes() for each in models.generate()[0]]
    passes: list[object] = []

    def spoil_the_second(unet: Any, args: Any, output: Any) -> Any:
        passes.append(None)
        return (output[0] * NOT_A_NUMBER,) if len(passes) in (3, 4) else output

    with models.pipeline.unet.register_forward_hook(spoil_the_second):
        images, metrics = models.generate()

    assert [each.path.name for each in images] == ["a-job-seed-5.png", "a-job-seed-7.png"]
    assert [each.image.tobytes() for each in images] == [expected[0], expected[2]]
    assert metrics["pictures"] == 2
    [remark] = models.context.remarks.collected
    assert remark.reason == "PictureLeftOut"
    assert remark.message.startswith("1 of 3 images were skipped (seed 6): The image of seed 6 had NaN")


def test_a_clip_that_is_never_finite_leaves_the_images(
    open_text_to_image: Callable[..., Any], poison: Callable[..., str]
) -> None:
    models, inputs = open_text_to_image("test-sdxl", SINGLE, poison("test-svd", DECODER, NOT_A_NUMBER))

    result = GenerateTask(models.context, models.spec).execute(inputs, models)

    assert [path.name for path in result.files] == ["a-job-seed-0.png"]
    [remark] = models.context.remarks.collected
    assert remark.reason == "ClipLeftOut"
    assert remark.message.startswith("The job has no clip. The clip had NaN or infinite values")


def fail_in_float32(decoder: torch.nn.Module, inputs: Any) -> None:
    if decoder.conv_in.weight.dtype == torch.float32:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")


def test_running_out_of_memory_in_float32_is_reported(
    open_text_to_image: Callable[..., Any], poison: Callable[..., str]
) -> None:
    models, _ = open_text_to_image(poison("test-sdxl", DECODER, LARGE), HALF)
    words = "values in half precision, and memory ran out when it was generated again in float32"

    hook = models.pipeline.vae.decoder.register_forward_pre_hook(fail_in_float32)
    with hook, pytest.raises(NonFiniteOutputError, match=words):
        models.generate()

    assert dtypes(models.pipeline) == {torch.float16}


def test_a_clip_is_retried_in_small_chunks(open_text_to_image: Callable[..., Any], poison: Callable[..., str]) -> None:
    models, inputs = open_text_to_image("test-sdxl", HALF, poison("test-svd", DECODER, LARGE))
    image, chunks = models.generate()[0][0], set[tuple[torch.dtype, int]]()

    def note(module: torch.nn.Module, inputs: Any) -> None:
        if type(module).__name__ == "Decoder":
            chunks.add((inputs[0].dtype, inputs[0].shape[0]))

    with torch.nn.modules.module.register_module_forward_pre_hook(note):
        animate(models, image, inputs)

    assert chunks == {(torch.float16, 4), (torch.float32, 2)}


def test_an_exception_in_the_decoder_leaves_the_pipeline_unchanged(open_text_to_image: Callable[..., Any]) -> None:
    """diffusers upcasts the VAE before decoding, and after an exception does not cast it back."""
    models, _ = open_text_to_image("test-sdxl", HALF)
    pipeline, spec = models.pipeline, models.spec
    assert pipeline.vae.config.force_upcast
    whole = retry_in_float32(pipeline, lambda: generate_image(pipeline, spec, 0, ignore), "An image", Remarks())

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with pipeline.vae.decoder.register_forward_pre_hook(fail), pytest.raises(KeyboardInterrupt):
        retry_in_float32(pipeline, lambda: generate_image(pipeline, spec, 0, ignore), "An image", Remarks())

    assert dtypes(pipeline) == {torch.float16}
    again = retry_in_float32(pipeline, lambda: generate_image(pipeline, spec, 0, ignore), "An image", Remarks())
    assert again.tobytes() == whole.tobytes()


def ignore(step: int, total: int) -> None:
    """Ignore progress."""


def test_a_lora_beyond_half_precision_is_detected(
    open_training: Callable[..., Any], photos: Any, model_root: Path, tmp_path: Path
) -> None:
    session = open_training()
    session.train(photos)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    session.save(path, {})
    weights = load_file(path)
    first = next(iter(weights))
    weights[first] = torch.full_like(weights[first], BEYOND_HALF)
    save_file(weights, path)
    model = pretrained.find_pretrained("test-sdxl", pretrained.SDXL, model_root)
    found = []
    for dtype in (torch.float16, torch.float32):
        pipeline = pretrained.load_pipeline(model, dtype, torch.device("cpu"))
        load_lora(pipeline, path, 1.0, "my-dog")
        found.append(has_finite_weights(pipeline))
    assert found == [False, True]
