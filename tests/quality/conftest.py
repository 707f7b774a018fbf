"""Loads the shipped small models with the runner's code."""

from pathlib import Path
from typing import Any

import pytest

from darkroom_runner.models.device import find_device
from darkroom_runner.models.pretrained import SDXL, SVD, PretrainedModel, find_pretrained, load_pipeline
from darkroom_runner.run.library_logging import configure_library_logging
from darkroom_runner.sampling.vae_format import set_vae_format

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of the shipped models."""
    return MODELS


@pytest.fixture(scope="session")
def sdxl_model() -> PretrainedModel:
    configure_library_logging()
    return find_pretrained("darkroom-tiny-sdxl", SDXL, MODELS)


@pytest.fixture(scope="session")
def svd_model() -> PretrainedModel:
    return find_pretrained("darkroom-tiny-svd", SVD, MODELS)


@pytest.fixture(scope="module")
def sdxl(sdxl_model: PretrainedModel) -> Any:
    """The text-to-image pipeline, with the VAE as jobs with the default cache have it: it decodes much faster.

    Tests must leave it unchanged.
    """
    device = find_device()
    pipeline = load_pipeline(sdxl_model, device.inference_dtype, device.torch_device)
    set_vae_format(pipeline, is_fast=True)
    return pipeline
