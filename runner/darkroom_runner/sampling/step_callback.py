"""Adapts a step counter to diffusers' `callback_on_step_end`."""

from collections.abc import Callable
from typing import Any

OnStep = Callable[[int, int], None]
"""Called after each denoising step with the number of steps done and their total."""


def step_callback(on_step: OnStep) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
    """A `callback_on_step_end`. The total is the pipeline's own, since Heun, for one, takes 2n - 1 steps."""

    def report(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1, pipe.num_timesteps)
        return kwargs

    return report
