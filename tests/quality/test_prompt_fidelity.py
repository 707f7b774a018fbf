"""The small SDXL follows the prompt: shape, colour and background, measured in the pixels."""

import re
from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.specs.cache import Cache
from darkroom_runner.unet_cache.context import CacheReport, unet_cache
from darkroom_tiny.draw import held_out
from darkroom_tiny.score import STEPS, Scores, benchmark_scenes, measure

NO_REUSE = Cache(threshold=0.0)
"""All passes are full and bit-equal to diffusers' own, as tests/unit/runner/unet_cache show. A prompt's keys and values
are computed once, not at every step."""
LEAST_RATIO = 0.95
"""At few steps, of the score with the default cache to the score without reuse."""
BEST_SCORE = 1.0

# Each score is of a hundred pictures.
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def plain(sdxl: Any) -> Scores:
    """Scores without reuse."""
    report = CacheReport()
    scores = measure_with(sdxl, NO_REUSE, STEPS, report)
    assert (report.single, report.shallow) == (0, 0)
    return scores


def measure_with(sdxl: Any, cache: Cache, steps: int, report: CacheReport | None = None) -> Scores:
    return measure(sdxl, around_batch=lambda: unet_cache(sdxl, cache, steps, report), steps=steps)


def test_benchmark_has_a_hundred_prompts_with_all_held_out_combinations() -> None:
    combinations = [scene.combination for scene in benchmark_scenes()]
    assert len(set(combinations)) == 100
    assert set(combinations[:40]) == held_out()


def test_nine_of_ten_prompts_are_correct(plain: Scores) -> None:
    assert plain.all_prompts >= 0.9


def test_held_out_combinations_are_correct_as_often(plain: Scores) -> None:
    assert plain.held_out >= 0.9


def test_the_default_cache_keeps_fidelity(sdxl: Any, plain: Scores) -> None:
    cached = measure_with(sdxl, Cache(), STEPS)
    assert cached.all_prompts >= plain.all_prompts - 0.02


@pytest.mark.parametrize("steps", [4, 8])
def test_the_default_cache_keeps_fidelity_at_few_steps(sdxl: Any, steps: int) -> None:
    """Without reuse, pictures are drawn only if their score matters: often the cache is near enough to the best one."""
    cached = measure_with(sdxl, Cache(), steps).all_prompts
    if cached < LEAST_RATIO * BEST_SCORE:
        plain = measure(sdxl, steps=steps).all_prompts
        assert plain > 0.5, "nothing to compare with"
        assert cached >= LEAST_RATIO * plain


def test_model_card_has_the_measured_scores(plain: Scores, models: Path) -> None:
    card = (models / "darkroom-tiny-sdxl" / "README.md").read_text(encoding="utf-8")
    claimed = [float(number) for number in re.findall(r"\| (\d\.\d\d) \|$", card, flags=re.MULTILINE)]
    # Another processor may round one picture or two to the other side.
    assert claimed == pytest.approx([plain.all_prompts, plain.held_out], abs=0.03)
