"""Pictures and clips that overflow in half precision are drawn again; what float32 can't draw either fails the run.

The CPU draws small models in half precision as a card does. Weights are poisoned so that their sums pass 65,504.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from darkroom_contract.specs import GenerateJobSpec
from darkroom_runner import base_models, lora
from darkroom_runner.device import Device
from darkroom_runner.drawing import open_session
from darkroom_runner.errors import InterruptedRunError, NonFiniteOutputError
from darkroom_runner.finite import draw_finite, has_finite_weights
from darkroom_runner.generate_job import GenerateJob
from darkroom_runner.interruption import Interruption
from darkroom_runner.pictures import draw_picture
from darkroom_runner.remarks import Remarks
from darkroom_runner.train_job import TrainInputs, TrainJob
from darkroom_runner.training.prior import draw_class_encodings

pytestmark = pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
"""diffusers' own pipeline calls it, where the VAE is in float16."""

HALF = Device(torch.device("cpu"), torch.float16, torch.bfloat16)
SINGLE = Device(torch.device("cpu"), torch.float32, torch.float32)
DECODER = ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.weight")
UNET = ("unet/diffusion_pytorch_model.safetensors", "conv_in.weight")
LARGE, BEYOND_HALF, NOT_A_NUMBER = 3e4, 1e6, float("nan")
"""A weight that half precision holds, though sums of it overflow; one that it does not; and one that nothing holds."""


@pytest.fixture
def poison(model_root: Path) -> Iterator[Callable[[str, tuple[str, str], float], str]]:
    """A copy of a small model with one weight set to a value, and a VAE that is not upcast by itself; its name."""
    made: list[Path] = []

    def make(name: str, place: tuple[str, str], value: float) -> str:
        folder = model_root / f"poisoned-{len(made)}"
        shutil.copytree(model_root / name, folder)
        made.append(folder)
        weights = load_file(folder / place[0])
        weights[place[1]] = torch.full_like(weights[place[1]], value)
        save_file(weights, folder / place[0], metadata={"format": "pt"})
        config = folder / "vae" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": False}))
        return folder.name

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def open_drawing(open_bench: Callable[..., Any]) -> Callable[..., Any]:
    """A drawing session on a device, and what it was opened with."""

    def start(base_model: str, device: Device, video_model: str = "test-svd", **images: Any) -> Any:
        spec = GenerateJobSpec.from_dict(
            {
                "prompt": "a dog",
                "images": {"steps": 2, **images},
                "video": {"steps": 2},
                "allowMotion": True,
                "cache": {"profile": "Disabled"},
            }
        )
        bench = open_bench(spec, base_model, video_model)
        inputs = GenerateJob(bench, spec).download()
        return open_session(bench, spec, inputs, device), inputs

    return start


def reasons(session: Any) -> list[str]:
    return [each.reason for each in session.bench.remarks.found]


def dtypes(pipeline: Any) -> set[torch.dtype]:
    models = [each for each in pipeline.components.values() if isinstance(each, torch.nn.Module)]
    return {each.dtype for model in models for each in model.parameters()}


def test_a_picture_that_half_precision_can_draw_is_drawn_once(open_drawing: Callable[..., Any]) -> None:
    session, _ = open_drawing("test-sdxl", HALF)

    [picture], _ = session.draw()

    assert dtypes(session.pipeline) == {torch.float16}
    assert reasons(session) == []
    assert len(picture.image.getcolors(64 * 64) or []) > 1


@pytest.mark.parametrize("place", [DECODER, UNET], ids=["VAE", "U-Net"])
def test_an_overflow_is_drawn_again_in_float32_with_the_same_seed(
    open_drawing: Callable[..., Any], poison: Callable[..., str], place: tuple[str, str]
) -> None:
    name = poison("test-sdxl", place, LARGE)
    session, _ = open_drawing(name, HALF, count=2, seed=5)

    pictures, _ = session.draw()

    assert reasons(session) == ["DrawnAgain"] * 2
    assert session.bench.remarks.found[0].message.startswith("The picture of seed 5 came out as NaN or infinite values")
    assert dtypes(session.pipeline) == {torch.float16}
    assert [len(each.image.getcolors(64 * 64) or []) > 1 for each in pictures] == [True, True]
    single, _ = open_drawing(name, SINGLE, count=2, seed=5)
    expected, _ = single.draw()
    assert reasons(single) == []
    for one, other in zip(pictures, expected, strict=True):
        assert difference(one.image, other.image) < 12


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean, of 255. Half precision rounds the weights that float32 then draws with."""
    pixels = [torch.frombuffer(bytearray(each.tobytes()), dtype=torch.uint8).float() for each in (one, other)]
    return float((pixels[0] - pixels[1]).abs().mean())


def test_weights_beyond_half_precision_make_the_job_draw_in_float32(
    open_drawing: Callable[..., Any], poison: Callable[..., str]
) -> None:
    name = poison("test-sdxl", DECODER, BEYOND_HALF)
    session, _ = open_drawing(name, HALF)

    [picture], _ = session.draw()

    assert dtypes(session.pipeline) == {torch.float32}
    [remark] = session.bench.remarks.found
    assert remark.message == (
        f"Weights of '{name}' or its LoRA are beyond half precision's range: everything is drawn in float32."
    )
    single, _ = open_drawing(name, SINGLE)
    assert picture.image.tobytes() == single.draw()[0][0].image.tobytes()


@pytest.mark.parametrize("device", [HALF, SINGLE], ids=["half", "single"])
def test_a_picture_that_is_never_finite_fails_with_its_reason(
    open_drawing: Callable[..., Any], poison: Callable[..., str], device: Device
) -> None:
    session, _ = open_drawing(poison("test-sdxl", DECODER, NOT_A_NUMBER), device)
    with pytest.raises(
        NonFiniteOutputError, match="The picture of seed 0 came out as NaN or infinite values in float32"
    ):
        session.draw()


def test_a_clip_is_drawn_again_or_fails_alike(open_drawing: Callable[..., Any], poison: Callable[..., str]) -> None:
    session, inputs = open_drawing("test-sdxl", HALF, poison("test-svd", DECODER, LARGE))
    picture = session.draw()[0][0]

    path, metrics, _ = session.animate(picture, inputs.video_model)

    assert path.name == "a-job.mp4"
    assert metrics["videoFrames"] == 4
    assert reasons(session) == ["DrawnAgain"]
    assert session.bench.remarks.found[0].message.startswith("The clip came out as NaN")

    session, inputs = open_drawing("test-sdxl", HALF, poison("test-svd", DECODER, NOT_A_NUMBER))
    picture = session.draw()[0][0]
    with pytest.raises(NonFiniteOutputError, match="The clip"):
        session.animate(picture, inputs.video_model)


def test_a_picture_that_is_never_finite_costs_none_of_the_others(open_drawing: Callable[..., Any]) -> None:
    session, _ = open_drawing("test-sdxl", SINGLE, count=3, seed=5)
    expected = [each.image.tobytes() for each in session.draw()[0]]
    passes: list[object] = []

    def spoil_the_second(unet: Any, args: Any, output: Any) -> Any:
        passes.append(None)
        return (output[0] * NOT_A_NUMBER,) if len(passes) in (3, 4) else output

    with session.pipeline.unet.register_forward_hook(spoil_the_second):
        pictures, metrics = session.draw()

    assert [each.path.name for each in pictures] == ["a-job-seed-5.png", "a-job-seed-7.png"]
    assert [each.image.tobytes() for each in pictures] == [expected[0], expected[2]]
    assert metrics["pictures"] == 2
    [remark] = session.bench.remarks.found
    assert remark.reason == "PictureLeftOut"
    assert remark.message.startswith("1 of 3 pictures left out (seed 6): The picture of seed 6 came out as NaN")


def test_a_clip_that_is_never_finite_leaves_the_pictures(
    open_drawing: Callable[..., Any], poison: Callable[..., str]
) -> None:
    session, inputs = open_drawing("test-sdxl", SINGLE, poison("test-svd", DECODER, NOT_A_NUMBER))

    product = GenerateJob(session.bench, session.spec).work(inputs, session)

    assert [path.name for path in product.files] == ["a-job-seed-0.png"]
    [remark] = session.bench.remarks.found
    assert remark.reason == "ClipLeftOut"
    assert remark.message.startswith("The job has no clip. The clip came out as NaN or infinite values")


def fail_in_float32(decoder: torch.nn.Module, inputs: Any) -> None:
    if decoder.conv_in.weight.dtype == torch.float32:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")


def test_float32_that_does_not_fit_is_told_as_what_it_is(
    open_drawing: Callable[..., Any], poison: Callable[..., str]
) -> None:
    session, _ = open_drawing(poison("test-sdxl", DECODER, LARGE), HALF)
    words = "values in half precision, and memory ran out when it was drawn again in float32"

    hook = session.pipeline.vae.decoder.register_forward_pre_hook(fail_in_float32)
    with hook, pytest.raises(NonFiniteOutputError, match=words):
        session.draw()

    assert dtypes(session.pipeline) == {torch.float16}


def test_a_clip_is_drawn_again_in_small_chunks(open_drawing: Callable[..., Any], poison: Callable[..., str]) -> None:
    session, inputs = open_drawing("test-sdxl", HALF, poison("test-svd", DECODER, LARGE))
    picture, chunks = session.draw()[0][0], set[tuple[torch.dtype, int]]()

    def note(module: torch.nn.Module, inputs: Any) -> None:
        if type(module).__name__ == "Decoder":
            chunks.add((inputs[0].dtype, inputs[0].shape[0]))

    with torch.nn.modules.module.register_module_forward_pre_hook(note):
        session.animate(picture, inputs.video_model)

    assert chunks == {(torch.float16, 4), (torch.float32, 2)}


@pytest.mark.parametrize("fault", [None, torch.OutOfMemoryError("CUDA out of memory.")], ids=["NaN", "memory"])
def test_a_validation_picture_that_fails_costs_no_lora(
    open_training: Callable[..., Any], open_bench: Callable[..., Any], photos: Any, fault: Exception | None
) -> None:
    session = open_training(validationPrompt="a photo of sks dog")
    bench = open_bench(session.spec)

    def spoil(decoder: torch.nn.Module, inputs: Any, pixels: torch.Tensor) -> torch.Tensor:
        if fault is not None:
            raise fault
        return pixels * NOT_A_NUMBER

    session.pipeline.vae.decoder.register_forward_hook(spoil)
    model = base_models.locate("test-sdxl", base_models.SDXL, bench.settings.model_root)

    product = TrainJob(bench, session.spec).work(TrainInputs(photos, model), session)

    assert [path.name for path in product.files] == ["pytorch_lora_weights.safetensors", "my-dog.safetensors"]
    assert all(path.stat().st_size > 1000 for path in product.files)
    [remark] = [each for each in bench.remarks.found if each.reason == "ValidationFailed"]
    assert remark.message.startswith("The LoRA is finished, but has no validation picture: ")
    assert ("Memory ran out" if fault else "The validation picture came out as NaN") in remark.message


def test_an_interruption_during_the_validation_picture_ends_the_run(
    open_training: Callable[..., Any], open_bench: Callable[..., Any], photos: Any
) -> None:
    interruption = Interruption()
    session = open_training(interruption, validationPrompt="a photo of sks dog")
    bench = open_bench(session.spec)
    step = session.progress.step

    def interrupt(number: int, total: int, **metrics: float) -> None:
        step(number, total, **metrics)
        interruption.requested = session.progress._stage == "Denoising"

    session.progress.step = interrupt
    model = base_models.locate("test-sdxl", base_models.SDXL, bench.settings.model_root)

    with pytest.raises(InterruptedRunError):
        TrainJob(bench, session.spec).work(TrainInputs(photos, model), session)


def test_an_exception_while_decoding_leaves_the_pipeline_as_it_was(open_drawing: Callable[..., Any]) -> None:
    """diffusers upcasts the VAE before, and casts it back only when nothing was raised."""
    session, _ = open_drawing("test-sdxl", HALF)
    pipeline, spec = session.pipeline, session.spec
    assert pipeline.vae.config.force_upcast
    whole = draw_finite(pipeline, lambda: draw_picture(pipeline, spec, 0, ignore), "A picture", Remarks())

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    with pipeline.vae.decoder.register_forward_pre_hook(fail), pytest.raises(KeyboardInterrupt):
        draw_finite(pipeline, lambda: draw_picture(pipeline, spec, 0, ignore), "A picture", Remarks())

    assert dtypes(pipeline) == {torch.float16}
    again = draw_finite(pipeline, lambda: draw_picture(pipeline, spec, 0, ignore), "A picture", Remarks())
    assert again.tobytes() == whole.tobytes()


def ignore(step: int, total: int) -> None:
    """Nobody watches."""


def test_class_pictures_are_drawn_again_or_fail_alike(
    sdxl: Any, open_training: Callable[..., Any], photos: Any
) -> None:
    sdxl.to(torch.float16)
    with torch.no_grad():
        sdxl.unet.conv_in.weight.fill_(LARGE)
    remarks = Remarks()

    [encoding] = draw_class_encodings(sdxl, "a photo of a dog", 1, 64, 0, ignore, remarks)

    assert torch.isfinite(encoding.mean).all()
    assert [each.message[:26] for each in remarks.found] == ["A batch of class pictures "]
    assert sdxl.unet.dtype == torch.float16

    session = open_training(priorPreservation={"classPrompt": "a photo of a dog", "classImages": 1})
    with torch.no_grad():
        session.pipeline.unet.conv_in.weight.fill_(NOT_A_NUMBER)
    with pytest.raises(NonFiniteOutputError, match="A batch of class pictures"):
        session.learn(photos)


def test_a_validation_picture_is_drawn_again_and_float32_adapters_stay(
    open_training: Callable[..., Any], photos: Any
) -> None:
    session = open_training()
    session.learn(photos)
    session.pipeline.to(torch.float16)
    for each in session.adapters.parameters.values():
        each.data = each.data.float()
    session.pipeline.vae.register_to_config(force_upcast=False)
    poisoned = session.pipeline.vae.decoder.conv_in.weight
    with torch.no_grad():
        poisoned.fill_(LARGE)

    picture = session.draw_validation("a photo of sks dog")

    assert [each.reason for each in session.remarks.found] == ["DrawnAgain"]
    assert len(picture.getcolors(64 * 64) or []) > 1
    assert {each.dtype for each in session.adapters.parameters.values()} == {torch.float32}
    assert poisoned.dtype == torch.float16
    with torch.no_grad():
        poisoned.fill_(NOT_A_NUMBER)
    with pytest.raises(NonFiniteOutputError, match="The validation picture"):
        session.draw_validation("a photo of sks dog")


def test_a_lora_beyond_half_precision_is_noticed(
    open_training: Callable[..., Any], photos: Any, model_root: Path, tmp_path: Path
) -> None:
    session = open_training()
    session.learn(photos)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    session.save(path, {})
    weights = load_file(path)
    first = next(iter(weights))
    weights[first] = torch.full_like(weights[first], BEYOND_HALF)
    save_file(weights, path)
    model = base_models.locate("test-sdxl", base_models.SDXL, model_root)
    found = []
    for dtype in (torch.float16, torch.float32):
        pipeline = base_models.load_pipeline(model, dtype, torch.device("cpu"))
        lora.load(pipeline, path, 1.0, "my-dog")
        found.append(has_finite_weights(pipeline))
    assert found == [False, True]
