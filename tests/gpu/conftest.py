"""Fixtures for tests on a CUDA device. Without one, all tests in this folder are skipped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from darkroom_runner.models.pretrained import SDXL, SVD, PretrainedModel, find_pretrained
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.training.dataset import Photo, check_photo

MODELS = Path(__file__).parents[2] / "models"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marks = [pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")]
    if not torch.cuda.is_available():
        marks.append(pytest.mark.skip(reason="needs a CUDA device; this machine has none"))
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for mark in marks:
                item.add_marker(mark)


@pytest.fixture(scope="session")
def sdxl_model() -> PretrainedModel:
    configure_library_logging()
    return find_pretrained("darkroom-tiny-sdxl", SDXL, MODELS)


@pytest.fixture(scope="session")
def svd_model() -> PretrainedModel:
    return find_pretrained("darkroom-tiny-svd", SVD, MODELS)


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    photos = []
    for number in range(3):
        image = Image.new("RGB", (128, 128), (60 * number, 120, 90))
        ImageDraw.Draw(image).ellipse((32, 32, 96, 96), fill=(230, 40, 40), outline="white", width=6)
        path = tmp_path / f"{number}.png"
        image.save(path)
        photos.append(check_photo(path, path.name))
    return photos


@pytest.fixture
def ignore_steps() -> Callable[..., Any]:
    return lambda step, total: None
