"""Loads the shipped small models with the runner's code."""

from pathlib import Path
from typing import Any

import pytest

from darkroom_runner.base_models import SDXL, SVD, BaseModel, load_pipeline, locate
from darkroom_runner.device import find_device
from darkroom_runner.quiet import quiet_libraries

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of the shipped models."""
    return MODELS


@pytest.fixture(scope="session")
def sdxl_model() -> BaseModel:
    quiet_libraries()
    return locate("darkroom-tiny-sdxl", SDXL, MODELS)


@pytest.fixture(scope="session")
def svd_model() -> BaseModel:
    return locate("darkroom-tiny-svd", SVD, MODELS)


@pytest.fixture(scope="module")
def sdxl(sdxl_model: BaseModel) -> Any:
    """The text-to-image pipeline. Tests must leave it unchanged."""
    device = find_device()
    return load_pipeline(sdxl_model, device.drawing_dtype, device.place)
