"""Adapts a step counter and previews to diffusers' `callback_on_step_end`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darkroom_runner.sampling.preview import ImagePreviews

OnStep = Callable[[int, int], None]
"""Called after each denoising step with the number of steps done and their total."""


def step_callback(
    on_step: OnStep, preview: "ImagePreviews | None" = None
) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
    """A `callback_on_step_end`. The total is the pipeline's own, since Heun, for one, takes 2n - 1 steps."""

    def report(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1, pipe.num_timesteps)
        if preview is not None:
            preview.after_step(pipe, step + 1)
        return kwargs

    return report
