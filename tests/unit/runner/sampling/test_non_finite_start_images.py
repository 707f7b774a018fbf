"""NaN in half precision together with start images, masks and previews: the retry in float32 has all of them."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.s3_server import BUCKET

from darkroom_runner.models.device import Device

pytestmark = pytest.mark.filterwarnings("ignore:`upcast_vae` is deprecated:FutureWarning")
"""diffusers' pipeline itself calls it for a float16 VAE."""

HALF = Device(torch.device("cpu"), torch.float16, torch.bfloat16)
SINGLE = Device(torch.device("cpu"), torch.float32, torch.float32)
VAE_FILE, UNET_FILE = (f"{part}/diffusion_pytorch_model.safetensors" for part in ("vae", "unet"))
DECODER, ENCODER = (VAE_FILE, "decoder.conv_in.weight"), (VAE_FILE, "encoder.conv_in.weight")
UNET = (UNET_FILE, "conv_in.weight")
LARGE = 3e4
"""A weight that fits into half precision, but not its sums."""
Put = Callable[[str, Image.Image], dict[str, str]]
Open = Callable[..., Any]


@pytest.fixture
def put(s3: Any) -> Put:
    """Store a picture; returns its source for a spec."""

    def store(name: str, picture: Image.Image) -> dict[str, str]:
        content = io.BytesIO()
        picture.save(content, "PNG")
        s3.put_object(Bucket=BUCKET, Key=f"images/default/{name}.png", Body=content.getvalue())
        return {"uri": f"s3://{BUCKET}/images/default/{name}.png"}

    return store


@pytest.fixture
def photo() -> Image.Image:
    return Image.effect_noise((64, 64), 60).convert("RGB")


def pixels(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(image, dtype=np.float64)


def reasons(models: Any) -> list[str]:
    return [each.reason for each in models.context.remarks.collected]


def dtypes(pipeline: Any) -> set[torch.dtype]:
    return {each.dtype for model in (pipeline.unet, pipeline.vae) for each in model.parameters()}


@pytest.mark.parametrize("weight", [DECODER, ENCODER, UNET], ids=["decoder", "encoder", "U-Net"])
def test_a_retry_starts_from_the_same_image(
    open_text_to_image: Open, poison: Callable[..., str], put: Put, photo: Image.Image, weight: tuple[str, str]
) -> None:
    """An overflow of the encoder, too, is found before the first step."""
    name = poison("test-sdxl", weight, LARGE)
    start = {"startImage": {**put("photo", photo), "strength": 0.5}}
    models, _ = open_text_to_image(name, HALF, more=start, steps=4)

    [image], _ = models.generate()

    assert reasons(models) == ["DrawnAgain"]
    assert dtypes(models.pipeline) == {torch.float16}
    single, _ = open_text_to_image(name, SINGLE, more=start, steps=4)
    [expected], _ = single.generate()
    assert reasons(single) == []
    assert len(expected.image.getcolors(64 * 64) or []) > 1
    assert np.abs(pixels(image.image) - pixels(expected.image)).mean() < 12


def test_a_retry_paints_only_inside_the_mask(
    open_text_to_image: Open, poison: Callable[..., str], put: Put, photo: Image.Image
) -> None:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 64))
    more = {
        "startImage": {**put("photo", photo), "strength": 0.5},
        "mask": {**put("mask", mask), "blur": 0},
        "upscale": {"factor": 2.0, "strength": 0.5},
    }
    models, _ = open_text_to_image(poison("test-sdxl", UNET, LARGE), HALF, more=more, steps=4)

    [image], _ = models.generate()

    assert reasons(models) == ["DrawnAgain"]
    large = photo.resize((128, 128), Image.Resampling.LANCZOS)
    assert pixels(image.image)[:, 68:].tolist() == pixels(large)[:, 68:].tolist()
    assert np.abs(pixels(image.image)[:, :60] - pixels(large)[:, :60]).mean() > 1


@pytest.mark.parametrize("weight", [DECODER, UNET], ids=["decoder", "U-Net"])
def test_a_retry_and_the_images_after_it_have_previews(
    open_text_to_image: Open, poison: Callable[..., str], monkeypatch: pytest.MonkeyPatch, weight: tuple[str, str]
) -> None:
    """The small model's previews are decoded by its VAE, which overflows in the first attempt."""
    models, _ = open_text_to_image(poison("test-sdxl", weight, LARGE), HALF, steps=4, count=2, previewSteps=1)
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(models.context.progress, "preview", lambda seed, step, jpeg: shown.append((seed, step)))

    models.generate()

    assert reasons(models) == ["DrawnAgain"] * 2
    assert shown == [(0, 2), (0, 3), (1, 2), (1, 3)]
