"""Live previews: what they show, when, and that they never change or fail a run."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from darkroom_contract.progress import MAX_PREVIEW_CHARACTERS
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.models.pretrained import SDXL, find_pretrained, load_pipeline
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling import preview
from darkroom_runner.sampling.latent_rgb import MAX_SIDE_PX, approximate_pixels, has_sdxl_latents
from darkroom_runner.sampling.preview import Previews, encode_jpeg
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.sdxl import generate_image

MODELS = Path(__file__).parents[4] / "models"
PROMPT = "a large red circle on a green background"


class Shown:
    """Records previews."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.seeds: set[int] = set()
        self.images: list[Image.Image] = []

    def __call__(self, seed: int, step: int, jpeg: str) -> None:
        self.seeds.add(seed)
        self.steps.append(step)
        self.images.append(Image.open(io.BytesIO(base64.b64decode(jpeg))))


def spec_of(steps: int = 6, prompt: str = "a dog", guidance: float = 2.0) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict(
        {"prompt": prompt, "images": {"steps": steps, "guidanceScale": guidance}, "cache": {"profile": "Disabled"}}
    )


def generate(pipeline: Any, spec: GenerateJobSpec, every: int) -> tuple[Image.Image, Shown]:
    shown = Shown()
    image = generate_image(pipeline, spec, 7, lambda step, total: None, Previews(every, shown).of_image(7))
    return image, shown


@pytest.fixture(scope="module")
def trained() -> Any:
    return load_pipeline(find_pretrained("darkroom-tiny-sdxl", SDXL, MODELS), torch.float32, torch.device("cpu"))


def reduced(image: Image.Image, side_px: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BOX), dtype=np.float64)


@pytest.mark.parametrize(("every", "steps"), [(0, []), (1, [2, 3, 4, 5]), (2, [2, 4]), (5, [5]), (6, []), (200, [])])
def test_previews_follow_every_n_steps_between_the_first_and_the_last(sdxl: Any, every: int, steps: list[int]) -> None:
    _, shown = generate(sdxl, spec_of(), every)

    assert shown.steps == steps


def test_steps_of_an_earlier_pass_are_counted(sdxl: Any) -> None:
    shown = Shown()

    generate_image(sdxl, spec_of(), 7, lambda step, total: None, Previews(4, shown).of_image(7, steps_before=10))

    assert (shown.steps, shown.seeds) == ([12], {7})


@pytest.mark.parametrize("name", [None, *Scheduler])
def test_an_image_is_the_same_with_and_without_previews(sdxl: Any, name: Scheduler | None) -> None:
    sdxl.scheduler = build_sampler(sdxl.scheduler, name, 6, Remarks())
    random_state = torch.get_rng_state()
    without, _ = generate(sdxl, spec_of(), 0)

    image, shown = generate(sdxl, spec_of(), 1)

    assert image.tobytes() == without.tobytes()
    assert shown.steps
    assert "step" not in vars(sdxl.scheduler)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", [None, *Scheduler])
def test_later_previews_are_closer_to_the_image(trained: Any, name: Scheduler | None) -> None:
    own = trained.scheduler
    trained.scheduler = build_sampler(own, name, 10, Remarks())
    try:
        image, shown = generate(trained, spec_of(10, PROMPT), 1)
    finally:
        trained.scheduler = own

    errors = [np.abs(reduced(each, 16) - reduced(image, 16)).mean() for each in shown.images]
    assert errors[-1] < errors[0]
    assert errors[-1] < 20
    assert np.corrcoef(reduced(shown.images[-1], 4).ravel(), reduced(image, 4).ravel())[0, 1] > 0.9


@pytest.fixture(scope="module")
def sdxl_vae() -> AutoencoderKL:
    """SDXL's configuration, as far as its latents depend on it, without layers of that size."""
    with torch.device("meta"):
        return AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            scaling_factor=0.13025,
        )


@pytest.mark.parametrize(
    ("latents", "pixels"), [((128, 96), (128, 96)), ((256, 128), (256, 128)), ((512, 64), (256, 32))]
)
def test_sdxl_latents_give_a_pixel_each_without_the_vae(
    sdxl_vae: AutoencoderKL, latents: tuple[int, int], pixels: tuple[int, int]
) -> None:
    grey = approximate_pixels(sdxl_vae, torch.zeros(4, *latents))

    assert has_sdxl_latents(sdxl_vae)
    assert tuple(grey.shape) == (*pixels, 3)
    assert grey[0, 0].tolist() == [150, 140, 130]


def test_the_first_sdxl_channel_is_brightness(sdxl_vae: AutoencoderKL) -> None:
    latents = torch.zeros(4, 2, 2)
    latents[0, 0, 0], latents[0, 1, 1] = 1.0, -1.0

    pixels = approximate_pixels(sdxl_vae, latents).float().mean(dim=2)

    assert pixels[1, 1] < pixels[0, 1] < pixels[0, 0]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 8), (512, 256), (1, 1000)])
def test_other_latents_are_decoded_at_a_reduced_size(sdxl: Any, height: int, width: int) -> None:
    pixels = approximate_pixels(sdxl.vae, torch.randn(4, height, width))

    assert not has_sdxl_latents(sdxl.vae)
    assert max(pixels.shape[:2]) == min(MAX_SIDE_PX, 8 * max(8, max(height, width) // 8))
    assert pixels.dtype == torch.uint8


def test_a_preview_of_noise_still_fits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)

    jpeg = encode_jpeg(Image.fromarray(noise))

    assert jpeg is None or len(jpeg) <= MAX_PREVIEW_CHARACTERS
    assert encode_jpeg(Image.new("RGB", (256, 256), "navy")) is not None


def test_an_error_turns_previews_off_and_is_logged_once(
    sdxl: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(vae: Any, latents: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(preview, "approximate_pixels", fail)
    previews = Previews(1, Shown())

    for seed in (7, 8):
        generate_image(sdxl, spec_of(), seed, lambda step, total: None, previews.of_image(seed))

    assert [each.getMessage() for each in caplog.records if "previews" in each.getMessage()] == [
        "previews are off for the rest of this run: RuntimeError: no memory"
    ]


def test_an_interrupted_run_leaves_the_scheduler_usable(sdxl: Any) -> None:
    def stop(step: int, total: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    expected, _ = generate(sdxl, spec_of(), 0)
    with pytest.raises(KeyboardInterrupt):
        generate_image(sdxl, spec_of(), 7, stop, Previews(1, Shown()).of_image(7))

    assert generate(sdxl, spec_of(), 0)[0].tobytes() == expected.tobytes()
    assert "step" not in vars(sdxl.scheduler)


def test_the_vae_keeps_its_precision(sdxl: Any) -> None:
    sdxl.vae.half()
    before = {name: value.clone() for name, value in sdxl.vae.state_dict().items()}

    pixels = approximate_pixels(sdxl.vae, torch.randn(4, 8, 8, dtype=torch.float16))

    assert sdxl.vae.dtype == torch.float16
    assert all(torch.equal(before[name], value) for name, value in sdxl.vae.state_dict().items())
    assert len(pixels.unique()) > 1
