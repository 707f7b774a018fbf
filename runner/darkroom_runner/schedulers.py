"""Samplers by name. The base model's own schedule (betas, prediction type, spacing) always stays."""

from typing import Any

import diffusers

from darkroom_contract.specs import Scheduler

_CLASSES = {
    Scheduler.DDIM: diffusers.DDIMScheduler,
    Scheduler.DPM_PLUS_PLUS: diffusers.DPMSolverMultistepScheduler,
    Scheduler.EULER: diffusers.EulerDiscreteScheduler,
    Scheduler.EULER_ANCESTRAL: diffusers.EulerAncestralDiscreteScheduler,
    Scheduler.HEUN: diffusers.HeunDiscreteScheduler,
    Scheduler.UNIPC: diffusers.UniPCMultistepScheduler,
}


def with_sampler(current: Any, name: Scheduler | None) -> Any:
    """A scheduler of the named kind on the present one's schedule; the present one when no name is given."""
    if name is None:
        return current
    # DDIM clips its guess of the clean latents to ±1 unless told not to; SDXL's latents go beyond.
    extra = {} if "clip_sample" in current.config else {"clip_sample": False}
    return _CLASSES[name].from_config(current.config, **(extra if name is Scheduler.DDIM else {}))


def training_schedule(current: Any) -> Any:
    """The forward process of training, DDPM, on a base model's schedule."""
    return diffusers.DDPMScheduler.from_config(current.config)
