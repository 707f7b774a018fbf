"""The default cache keeps what the prompt says, at many and at few steps."""

from typing import Any

import pytest

from darkroom_contract.specs.cache import Cache
from darkroom_runner.unet_cache.context import unet_cache
from darkroom_tiny.score import Scores, measure

FEW_STEPS = (4, 8)
STEPS = 25
LEAST_FRACTION = 0.95
"""Of the prompts that are drawn right without a cache, at few steps."""
MAX_LOSS = 0.02
"""Of all prompts, at the usual number of steps."""

# A hundred pictures, twice.
pytestmark = pytest.mark.timeout(1200)


def plain(pipeline: Any, steps: int) -> Scores:
    return measure(pipeline, steps=steps)


def cached(pipeline: Any, steps: int) -> Scores:
    """With the default settings."""
    return measure(pipeline, around_batch=lambda: unet_cache(pipeline, Cache(), steps), steps=steps)


@pytest.mark.parametrize("steps", FEW_STEPS)
def test_default_cache_keeps_the_prompt_at_few_steps(sdxl: Any, steps: int) -> None:
    without = plain(sdxl, steps).all_prompts
    assert without > 0.5, "nothing to compare with"
    assert cached(sdxl, steps).all_prompts >= LEAST_FRACTION * without


def test_default_cache_loses_hardly_a_prompt_at_many_steps(sdxl: Any) -> None:
    assert cached(sdxl, STEPS).all_prompts >= plain(sdxl, STEPS).all_prompts - MAX_LOSS
