"""Image to image and inpainting with the cache: as close to the prompt as without it, and no coloured blots."""

from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.start_picture import StartPicture
from darkroom_tiny.captions import prompt_of
from darkroom_tiny.draw import SIDE_PX, Scene, draw, scenes
from darkroom_tiny.scene_detector import matches
from darkroom_tiny.score import GUIDANCE_SCALE, STEPS

COUNT = 3
STARTS, WANTED = scenes(count=COUNT, seed=11), scenes(count=COUNT, seed=12)
CELLS = 16
LEAST_MEDIAN_DB, LEAST_DB = 30.0, 23.0
MAX_BLOT = 48.0
"""Of 255: the largest difference of a cell, a sixteenth of a picture's side."""

pytestmark = pytest.mark.timeout(600)


def pictures(pipeline: Any, profile: str, strength: float, mask: Image.Image | None) -> list[Image.Image]:
    """Each start picture, changed by the prompt of another scene."""
    return [
        generate_image(pipeline, job(wanted, profile, strength), seed, lambda step, total: None, start_of(start, mask))
        for seed, (start, wanted) in enumerate(zip(STARTS, WANTED, strict=True))
    ]


def job(wanted: Scene, profile: str, strength: float) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict(
        {
            "prompt": prompt_of(wanted),
            "images": {"steps": STEPS, "guidanceScale": GUIDANCE_SCALE},
            "startImage": {"uri": "s3://darkroom/images/default/start.png", "strength": strength},
            "cache": {"profile": profile},
        }
    )


def start_of(scene: Scene, mask: Image.Image | None) -> StartPicture:
    return StartPicture(draw(scene), mask, blur_px=8)


@pytest.fixture(scope="module")
def middle() -> Image.Image:
    """A mask of all but the edges."""
    mask = Image.new("L", (SIDE_PX, SIDE_PX))
    mask.paste(255, (16, 16, SIDE_PX - 16, SIDE_PX - 16))
    return mask


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    error = np.asarray(one, dtype=np.float64) - np.asarray(other, dtype=np.float64)
    return float(10 * np.log10(255**2 / max(float((error**2).mean()), 1e-9)))


def blot(one: Image.Image, other: Image.Image) -> float:
    """The largest difference of two cells, of 255: a blot has a cell of another colour, a moved edge only a part."""
    cells = [np.asarray(each.resize((CELLS, CELLS), Image.Resampling.BOX), dtype=np.float64) for each in (one, other)]
    return float(np.abs(cells[0] - cells[1]).mean(axis=2).max())


@pytest.mark.parametrize(
    ("strength", "masked"),
    [(0.4, False), (0.6, False), (0.8, False), (0.6, True)],
    ids=["0.4", "0.6", "0.8", "inpainting"],
)
def test_the_default_cache_keeps_pictures_that_start_from_one(
    sdxl: Any, middle: Image.Image, strength: float, masked: bool
) -> None:
    mask = middle if masked else None
    plain, cached = (pictures(sdxl, profile, strength, mask) for profile in ("Disabled", "Balanced"))
    similarities = [psnr_db(*pair) for pair in zip(plain, cached, strict=True)]
    blots = [blot(*pair) for pair in zip(plain, cached, strict=True)]
    right = [sum(matches(*pair) for pair in zip(drawn, WANTED, strict=True)) for drawn in (plain, cached)]

    assert median(similarities) >= LEAST_MEDIAN_DB
    assert min(similarities) >= LEAST_DB
    assert max(blots) <= MAX_BLOT
    assert right[1] >= right[0] - 1
