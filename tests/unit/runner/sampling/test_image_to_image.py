"""Image to image, inpainting, the upscaling pass and tiles: what the settings do to an image.

Colours and closeness need a model that draws: the small trained one. Everything else is tested with random weights.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.models import pretrained
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.image_to_image import encode_picture, strength_arguments
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.start_picture import StartPicture

SHIPPED = Path(__file__).parents[4] / "models"
PICTURE, MASK = ({"uri": f"s3://bucket/images/default/{name}.png"} for name in ("picture", "mask"))
Draw = Callable[..., Image.Image]


def draw(pipeline: Any, start: StartPicture | None = None, prompt: str = "a dog", **spec: Any) -> Image.Image:
    images = {"steps": 6, **spec.pop("images", {})}
    document = {"prompt": prompt, "cache": {"profile": "Disabled"}, "images": images, **spec}
    return generate_image(pipeline, GenerateJobSpec.from_dict(document), 1, lambda step, total: None, start=start)


def pixels(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(image, dtype=np.float64)


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(pixels(one) - pixels(other)).mean())


@pytest.fixture(scope="module")
def trained() -> Any:
    model = pretrained.find_pretrained("darkroom-tiny-sdxl", pretrained.SDXL, SHIPPED)
    return pretrained.load_pipeline(model, torch.float32, torch.device("cpu"))


@pytest.fixture(scope="module")
def red_circle(trained: Any) -> Image.Image:
    """128×128, on navy."""
    return draw(trained, prompt="a red circle on a navy background", images={"steps": 12, "guidanceScale": 2.0})


@pytest.fixture
def photo() -> Image.Image:
    return Image.effect_noise((64, 64), 60).convert("RGB")


def left_half(size: tuple[int, int] = (64, 64)) -> Image.Image:
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


# --- strength ----------------------------------------------------------------------------------------------------


def test_lower_strength_stays_closer_to_the_start_image(trained: Any, red_circle: Image.Image) -> None:
    def changed(strength: float) -> float:
        start = {**PICTURE, "strength": strength}
        image = draw(
            trained,
            StartPicture(red_circle),
            "a green star on a navy background",
            startImage=start,
            images={"steps": 20, "guidanceScale": 2.0},
        )
        return distance(image, red_circle)

    assert changed(0.05) < changed(0.2) < changed(0.4)


def test_strength_1_leaves_nothing_of_the_start_image(sdxl: Any, photo: Image.Image) -> None:
    start = {**PICTURE, "strength": 1.0}
    assert draw(sdxl, StartPicture(photo), startImage=start).tobytes() == draw(sdxl).tobytes()


@pytest.mark.parametrize(
    ("steps", "strength", "expected"),
    [
        (50, 0.58, (50, 29)),
        (30, 0.6, (30, 18)),
        (1, 0.6, (2, 1)),
        (4, 0.1, (10, 1)),
        (49, 0.05, (49, 2)),
        (7, 1.0, (7, 7)),
    ],
)
def test_strength_is_the_part_of_the_steps_that_is_run(steps: int, strength: float, expected: tuple[int, int]) -> None:
    given = strength_arguments(steps, strength)
    whole = given["num_inference_steps"]
    assert (whole, int(whole * given["strength"])) == expected


@pytest.mark.parametrize(
    ("spec", "total"),
    [
        ({"startImage": {**PICTURE, "strength": 0.5}}, 3),
        ({"startImage": {**PICTURE, "strength": 0.05}}, 1),
        ({"upscale": {"strength": 0.5}}, 6 + 3),
        ({"startImage": {**PICTURE, "strength": 0.5}, "upscale": {"strength": 0.5, "steps": 10}}, 3 + 5),
    ],
)
def test_the_steps_of_all_passes_are_reported(sdxl: Any, photo: Image.Image, spec: dict[str, Any], total: int) -> None:
    reported: list[tuple[int, int]] = []
    document = GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"steps": 6}, **spec})
    start = StartPicture(photo) if "startImage" in spec else None

    generate_image(sdxl, document, 0, lambda step, of: reported.append((step, of)), start=start)

    assert reported == [(step, total) for step in range(1, total + 1)]


# --- pipelines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache", ["Disabled", "Balanced", "Fast"])
def test_text_to_image_is_the_same_before_and_after_image_to_image(sdxl: Any, photo: Image.Image, cache: str) -> None:
    settings: dict[str, Any] = {"cache": {"profile": cache}, "images": {"steps": 12}}
    start = {"startImage": {**PICTURE, "strength": 0.5}}

    text, changed = draw(sdxl, **settings), draw(sdxl, StartPicture(photo), **start, **settings)
    text_again, changed_again = draw(sdxl, **settings), draw(sdxl, StartPicture(photo), **start, **settings)

    assert text.tobytes() == text_again.tobytes()
    assert changed.tobytes() == changed_again.tobytes()


@pytest.mark.parametrize(
    "name", [Scheduler.LCM, Scheduler.TCD, Scheduler.EULER_TRAILING, Scheduler.DDIM, Scheduler.UNIPC]
)
def test_samplers_draw_from_a_start_image_and_with_a_mask(sdxl: Any, photo: Image.Image, name: Scheduler) -> None:
    sdxl.scheduler = build_sampler(sdxl.scheduler, name, 6, Remarks())
    start = {**PICTURE, "strength": 0.5}

    plain = draw(sdxl, StartPicture(photo), startImage=start)
    masked = draw(sdxl, StartPicture(photo, left_half()), startImage=start, mask=MASK)

    assert distance(plain, photo) > 0
    assert pixels(masked)[:, 32:].tolist() == pixels(photo)[:, 32:].tolist()
    assert distance(masked, photo) > 0


def test_a_picture_is_encoded_as_the_pipeline_decodes(trained: Any, red_circle: Image.Image) -> None:
    latents = encode_picture(trained, red_circle)
    with torch.no_grad():
        decoded = trained.vae.decode(latents / trained.vae.config.scaling_factor).sample

    assert distance(trained.image_processor.postprocess(decoded)[0], red_circle) < 4


# --- mask --------------------------------------------------------------------------------------------------------


def test_only_the_mask_is_painted(trained: Any, red_circle: Image.Image) -> None:
    """A soft edge of 8 pixels ends 4 pixels outside of the mask."""
    start = StartPicture(red_circle, left_half((128, 128)), blur_px=8)

    image = draw(
        trained,
        start,
        "a green circle on a navy background",
        startImage={**PICTURE, "strength": 1.0},
        mask=MASK,
        images={"steps": 12, "guidanceScale": 3.0},
    )

    assert pixels(image)[:, 70:].tolist() == pixels(red_circle)[:, 70:].tolist()
    red, green = (pixels(image)[48:80, 36:56, channel].mean() for channel in (0, 1))
    was_red, was_green = (pixels(red_circle)[48:80, 36:56, channel].mean() for channel in (0, 1))
    assert green - red > was_green - was_red + 60


def test_the_start_image_is_pasted_back_after_upscaling(sdxl: Any, photo: Image.Image) -> None:
    start = StartPicture(photo, left_half())

    image = draw(sdxl, start, startImage={**PICTURE, "strength": 0.5}, mask=MASK, upscale={"factor": 2.0})

    assert image.size == (128, 128)
    assert pixels(image)[:, 68:].tolist() == pixels(start.fitted((128, 128)).image)[:, 68:].tolist()


# --- upscale -----------------------------------------------------------------------------------------------------


def test_upscaling_keeps_the_image(trained: Any, red_circle: Image.Image) -> None:
    settings = {"prompt": "a red circle on a navy background", "images": {"steps": 12, "guidanceScale": 2.0}}

    def changed(strength: float) -> float:
        large = draw(trained, upscale={"factor": 1.5, "strength": strength}, **settings)
        assert large.size == (192, 192)
        return distance(large.resize((128, 128), Image.Resampling.LANCZOS), red_circle)

    assert changed(0.1) < 15
    assert changed(0.1) < changed(0.6)


# --- tiles -------------------------------------------------------------------------------------------------------


def test_tiles_decode_almost_the_same_image(trained: Any, red_circle: Image.Image) -> None:
    settings = {"prompt": "a red circle on a navy background", "images": {"steps": 12, "guidanceScale": 2.0}}
    tiled = draw(trained, **{**settings, "images": {**settings["images"], "vaeTiling": "Enabled"}})  # type: ignore[dict-item]

    assert 0 < distance(tiled, red_circle) < 8
    assert not trained.vae.use_tiling


def test_tiling_ends_with_its_image_even_after_an_exception(sdxl: Any) -> None:
    plain = draw(sdxl)
    before = {name: getattr(sdxl.vae, name) for name in ("tile_sample_min_size", "tile_latent_min_size")}

    def fail(*_: Any) -> None:
        assert sdxl.vae.use_tiling
        raise KeyboardInterrupt

    with sdxl.vae.decoder.register_forward_pre_hook(fail), pytest.raises(KeyboardInterrupt):
        draw(sdxl, images={"vaeTiling": "Enabled"})

    assert not sdxl.vae.use_tiling
    assert {name: getattr(sdxl.vae, name) for name in before} == before
    assert draw(sdxl).tobytes() == plain.tobytes()
