"""Ensures that a sampler's first timestep is near pure noise; otherwise the output is just noise.

A pipeline always passes pure noise to the first step. SDXL's published scheduler has "leading" timestep spacing: with
one step, Euler, Heun and DDIM start at timestep 1 of 1000, treat the noise as a nearly finished image, and return it
(arXiv 2305.08891, section 3.3).
"""

from typing import Any

from darkroom_contract.remarks import RemarkReason
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, first_line
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import STEP_FAULTS, has_betas, is_on, settings_of

_MAX_SIGNAL = 0.25
"""Largest allowed signal amplitude at the first step (0: pure noise, 1: no noise). SDXL's schedule ends at 0.07;
"leading" spacing has 0.24 with four steps, 0.32 with three and 1.0 with one."""

_TRAILING = "trailing"


def ensure_starts_from_noise(scheduler: Any, steps: int, field: str, remarks: Remarks) -> Any:
    """Return the scheduler, or a copy with "trailing" spacing if its own spacing does not start near noise.

    `field` is the setting with the number of steps. Adds the remark `TimestepsReplaced` for a copy. Raises
    `InvalidRunError` if no spacing of this scheduler can generate an image in `steps` steps.
    """
    first, signal = _first_step(scheduler, steps, field)
    if signal <= _MAX_SIGNAL:
        return scheduler
    spaced = _trailing(scheduler)
    replaced, signal = _first_step(spaced, steps, field)
    if signal > _MAX_SIGNAL:
        raise InvalidRunError(
            f"With {field} {steps} the sampler {type(scheduler).__name__} of this base model starts at timestep "
            f"{first:g}, and the image would be noise. Raise {field}, or choose another sampler."
        )
    remarks.add(
        RemarkReason.TIMESTEPS_REPLACED,
        f"With {field} {steps} the base model's timestep spacing, {scheduler.config.timestep_spacing!r}, would start "
        f"at timestep {first:g}, too far from noise to generate an image. {_TRAILING!r} spacing is used instead and "
        f"starts at {replaced:g}. Raise {field} to keep the base model's spacing.",
    )
    return spaced


def check_steps(scheduler: Any, steps: int, field: str) -> None:
    """Raises `InvalidRunError` if the scheduler can't have this number of steps. For image to image, which does not
    start from noise."""
    _first_step(scheduler, steps, field)


def _trailing(scheduler: Any) -> Any:
    kind = type(scheduler)
    if "timestep_spacing" not in settings_of(kind):
        return scheduler
    return kind.from_config(scheduler.config, timestep_spacing=_TRAILING)


def _first_step(scheduler: Any, steps: int, field: str) -> tuple[float, float]:
    """The first timestep, and the signal amplitude that it expects in its input (0: pure noise, 1: no noise)."""
    probe = type(scheduler).from_config(scheduler.config)
    most = probe.config.get("original_inference_steps")
    if most is not None and steps > most:
        # diffusers' own message advises a `strength` that no text-to-image pipeline has.
        raise InvalidRunError(
            f"{field} is {steps}, and {type(probe).__name__} has at most {most} steps. Lower {field}, or choose "
            "another sampler."
        )
    try:
        probe.set_timesteps(steps)
    except STEP_FAULTS as error:
        raise InvalidRunError(f"{field} is {steps}: {first_line(error)} Change {field}.") from error
    first = float(probe.timesteps[0])
    if not hasattr(probe, "sigmas"):
        if not hasattr(probe, "alphas_cumprod"):
            raise ModelIncompatibleError(
                f"The base model's sampler, {type(probe).__name__}, has an unknown kind of noise levels. "
                "Use an SDXL base model with a scheduler of diffusers."
            )
        return first, float(probe.alphas_cumprod[int(first)]) ** 0.5
    sigma = float(probe.sigmas[0])
    if is_on(probe, "use_flow_sigmas") or not (has_betas(probe) or "sigma_data" in settings_of(type(probe))):
        return first, 1.0 - sigma
    return first, (1.0 + sigma**2) ** -0.5
