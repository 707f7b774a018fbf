"""OpenAI's own package draws with the local cluster: a stream with previews, then an edit of a part of the picture."""

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image
from support.darkroom_up import Darkroom

DRAWING = {"seed": 5, "steps": 12, "guidance_scale": 3, "cache_profile": "Disabled"}


@pytest.fixture(scope="module")
def client(darkroom: Darkroom) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{darkroom.url}/v1", api_key="unused", http_client=http) as made:
        yield made


@pytest.fixture(scope="module")
def events(client: openai.OpenAI) -> list[Any]:
    prompt = "a red circle on a navy background"
    return list(client.images.generate(prompt=prompt, stream=True, partial_images=2, extra_body=DRAWING))


def picture_of(event: Any) -> bytes:
    return base64.b64decode(event.b64_json)


def pixels(content: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    """From 0 to 255."""
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=float)


def test_previews_come_before_the_picture(events: list[Any]) -> None:
    types = [each.type for each in events]

    # Fewer than the two that were asked for if the picture is drawn quickly, as OpenAI's reference says too.
    previews = len(types) - 1
    assert 1 <= previews <= 2
    assert types == ["image_generation.partial_image"] * previews + ["image_generation.completed"]
    formats = [Image.open(BytesIO(picture_of(each))).format for each in events]
    assert formats == ["JPEG"] * previews + ["PNG"]


def test_only_the_transparent_part_of_the_mask_is_painted(
    client: openai.OpenAI, darkroom: Darkroom, events: list[Any]
) -> None:
    image = picture_of(events[-1])
    height, width, _ = pixels(image).shape
    mask = Image.new("RGBA", (width, height), "black")
    mask.paste((0, 0, 0, 0), (width // 2, 0, width, height))
    mask.save(buffer := BytesIO(), "PNG")

    answer = client.images.edit(
        image=("circle.png", image),
        mask=("mask.png", buffer.getvalue()),
        prompt="a yellow star on a white background",
        response_format="b64_json",
        extra_body={**DRAWING, "mask_blur": 0},
    )

    change = np.abs(pixels(picture_of(answer.data[0])) - pixels(image)).mean(axis=(0, 2))
    assert change[: width // 2 - 8].max() < 1
    assert change[width // 2 :].mean() > 10
    job = darkroom.http.get(f"/v1/jobs/{answer.model_extra['job_id']}").json()
    assert (job["status"], job["spec"]["mask"]["channel"]) == ("Succeeded", "Transparency")
