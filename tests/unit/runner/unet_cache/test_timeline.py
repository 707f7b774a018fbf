"""Positions of passes: from the noise level, whatever the spacing of the sampler's steps."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from diffusers import EDMEulerScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, KDPM2DiscreteScheduler

from darkroom_runner.unet_cache.policies import Position
from darkroom_runner.unet_cache.timeline import Timeline

TRAINED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SVD = TRAINED | {
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
}


def positions(scheduler: Any, calls: int, steps: int = 10, first: int = 0) -> list[Position]:
    scheduler.set_timesteps(steps)
    pipeline = SimpleNamespace(scheduler=scheduler, do_classifier_free_guidance=True)
    timeline = Timeline(pipeline, scheduler.timesteps[first])
    return [timeline.next_position() for _ in range(calls)]


def times(found: list[Position]) -> list[float]:
    return [each.time for each in found]


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_even_spacing_gives_about_the_number_of_the_step(spacing: str) -> None:
    found = times(positions(EulerDiscreteScheduler(timestep_spacing=spacing, **TRAINED), 10))
    assert found == pytest.approx(range(10), abs=1.2)
    assert found[0] == 0.0


def test_each_position_ends_where_the_next_begins() -> None:
    found = positions(EulerDiscreteScheduler(**TRAINED), 10)
    assert [each.next_time for each in found] == [*times(found)[1:], 10.0]


def test_karras_steps_are_placed_by_their_noise_level() -> None:
    """Most of them are at low noise, where timesteps are close."""
    found = times(positions(EulerDiscreteScheduler(use_karras_sigmas=True, **TRAINED), 10))
    assert found == sorted(found)
    assert found[9] - found[8] < 0.5 < found[3] - found[2]


def test_the_clip_models_noise_levels_are_placed_on_the_same_scale() -> None:
    """Many of its steps have more noise than any training timestep of SDXL."""
    found = times(positions(EulerDiscreteScheduler(**SVD), 25, steps=25))
    assert found[0] == 0.0
    assert found == sorted(found)
    assert found[-1] == pytest.approx(25.0, abs=0.1)
    # The last ones have less noise than any.
    assert all(later > earlier for earlier, later in pairwise(found[:16]))


def test_an_image_to_image_run_begins_at_zero() -> None:
    found = times(positions(EulerDiscreteScheduler(**TRAINED), 6, first=4))
    assert found == pytest.approx(range(6), abs=1.2)
    assert found[0] == 0.0


@pytest.mark.filterwarnings("ignore:__array_wrap__")  # Of diffusers.
def test_time_ends_at_the_number_of_steps_with_two_passes_a_step() -> None:
    """KDPM2's second pass has a timestep of its own."""
    found = positions(KDPM2DiscreteScheduler(**TRAINED), 19)
    assert found[-1].next_time == 10.0
    assert times(found) == sorted(times(found))


def test_samplers_with_other_timesteps_are_spaced_evenly() -> None:
    found = positions(EDMEulerScheduler(), 10)
    assert times(found) == pytest.approx(range(10))


def test_heuns_second_pass_is_at_the_time_of_the_next_step() -> None:
    found = positions(HeunDiscreteScheduler(**TRAINED), 19)
    assert [each.step for each in found[:4]] == [0, 0, 1, 1]
    assert found[1].time == found[2].time > found[0].time == 0.0
