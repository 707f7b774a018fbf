"""Where a sampler's first step starts: near pure noise, or the picture is the noise. Called by `drawing`.

A pipeline hands the first step pure noise, whatever timestep that step has. SDXL's published scheduler spaces its
timesteps by "leading": of one step, Euler, Heun and DDIM then start at timestep 1 of 1000, take the noise for a nearly
finished picture, and return it (arXiv 2305.08891, section 3.3).
"""

from typing import Any

from darkroom_contract.remarks import RemarkReason
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, first_line
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import STEP_FAULTS, has_betas, is_on, settings_of

_MAX_SIGNAL = 0.25
"""Of the picture's amplitude at the first step. SDXL's schedule ends at 0.07; "leading" spacing has 0.24 with four
steps, 0.32 with three and 1.0 with one."""

_TRAILING = "trailing"


def from_noise(scheduler: Any, steps: int, field: str, remarks: Remarks) -> Any:
    """The scheduler, spaced so that `steps` steps start from noise; itself when they do so already.

    `field` names the setting with the number of steps. Adds `TimestepsReplaced`, and raises `InvalidRunError` when no
    spacing of this scheduler draws a picture in so few steps.
    """
    first, signal = _first_step(scheduler, steps, field)
    if signal <= _MAX_SIGNAL:
        return scheduler
    spaced = _trailing(scheduler)
    replaced, signal = _first_step(spaced, steps, field)
    if signal > _MAX_SIGNAL:
        raise InvalidRunError(
            f"With {field} {steps} the sampler {type(scheduler).__name__} of this base model starts at timestep "
            f"{first:g}, and its picture would be the noise. Raise {field}, or choose another sampler."
        )
    remarks.add(
        RemarkReason.TIMESTEPS_REPLACED,
        f"With {field} {steps} the base model's spacing of timesteps, {scheduler.config.timestep_spacing!r}, would "
        f"start at timestep {first:g}, too far from noise to draw a picture. They are spaced by {_TRAILING!r} "
        f"and start at {replaced:g}. Raise {field} to keep the base model's spacing.",
    )
    return spaced


def _trailing(scheduler: Any) -> Any:
    kind = type(scheduler)
    if "timestep_spacing" not in settings_of(kind):
        return scheduler
    return kind.from_config(scheduler.config, timestep_spacing=_TRAILING)


def _first_step(scheduler: Any, steps: int, field: str) -> tuple[float, float]:
    """The first timestep, and the amplitude of the picture in what that step expects: 0 is pure noise, 1 no noise."""
    probe = type(scheduler).from_config(scheduler.config)
    try:
        probe.set_timesteps(steps)
    except STEP_FAULTS as error:
        raise InvalidRunError(f"{field} is {steps}: {first_line(error)} Change {field}.") from error
    first = float(probe.timesteps[0])
    if not hasattr(probe, "sigmas"):
        if not hasattr(probe, "alphas_cumprod"):
            raise ModelIncompatibleError(
                f"The base model's sampler, {type(probe).__name__}, has noise levels that SDXL does not know."
            )
        return first, float(probe.alphas_cumprod[int(first)]) ** 0.5
    sigma = float(probe.sigmas[0])
    if is_on(probe, "use_flow_sigmas") or not (has_betas(probe) or "sigma_data" in settings_of(type(probe))):
        return first, 1.0 - sigma
    return first, (1.0 + sigma**2) ** -0.5
