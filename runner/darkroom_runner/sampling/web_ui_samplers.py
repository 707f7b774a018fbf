"""Names of diffusers' schedulers in the Stable Diffusion web UIs (A1111, Forge), for the metadata of images.

The web UIs split what diffusers has in one class: the sampler ("Euler a") and its schedule of noise levels ("Karras").
"""

from typing import Any, NamedTuple

_SAMPLERS = {
    "DDIMScheduler": "DDIM",
    "DEISMultistepScheduler": "DEIS",
    "DPMSolverMultistepScheduler": "DPM++ 2M",
    "DPMSolverSDEScheduler": "DPM++ SDE",
    "EulerAncestralDiscreteScheduler": "Euler a",
    "EulerDiscreteScheduler": "Euler",
    "HeunDiscreteScheduler": "Heun",
    "KDPM2AncestralDiscreteScheduler": "DPM2 a",
    "KDPM2DiscreteScheduler": "DPM2",
    "LCMScheduler": "LCM",
    "LMSDiscreteScheduler": "LMS",
    "PNDMScheduler": "PLMS",
    "TCDScheduler": "TCD",
    "UniPCMultistepScheduler": "UniPC",
}
_WITHOUT_SCHEDULE = frozenset({"DDIM", "LCM", "PLMS", "TCD", "UniPC"})
"""Samplers with a schedule of their own: the web UIs ignore the schedule type."""
_SIGMAS = {"use_karras_sigmas": "Karras", "use_exponential_sigmas": "Exponential", "use_beta_sigmas": "Beta"}
_SPACINGS = {"linspace": "Uniform", "leading": "DDIM", "trailing": "SGM Uniform"}
_STOCHASTIC = "sde-dpmsolver++"


class WebUiSampler(NamedTuple):
    """A sampler as the web UIs name it."""

    name: str
    schedule_type: str | None = None
    """None where the web UIs have no name for it."""


def web_ui_sampler(scheduler: Any) -> WebUiSampler:
    """The sampler and schedule type of a diffusers scheduler; of an unknown one, the name of its class."""
    config = scheduler.config
    kind = type(scheduler).__name__
    name = _SAMPLERS.get(kind, kind.removesuffix("Scheduler"))
    if name == "DPM++ 2M" and config.get("algorithm_type") == _STOCHASTIC:
        name = f"DPM++ {config.get('solver_order', 2)}M SDE"
    return WebUiSampler(name, None if name in _WITHOUT_SCHEDULE else _schedule_type(config))


def _schedule_type(config: Any) -> str | None:
    for setting, label in _SIGMAS.items():
        if config.get(setting):
            return label
    return _SPACINGS.get(config.get("timestep_spacing"))
