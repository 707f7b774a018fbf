"""Scheduler settings as models were published with them: `scheduler/scheduler_config.json` of each repository.

The small models are spaced by "trailing" and have few settings; what real ones bring is tested with these.
"""

from typing import Any

import diffusers

_SDXL_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "stabilityai/stable-diffusion-xl-base-1.0": (
        "EulerDiscreteScheduler",
        {
            **_SDXL_BETAS,
            "clip_sample": False,
            "interpolation_type": "linear",
            "num_train_timesteps": 1000,
            "prediction_type": "epsilon",
            "sample_max_value": 1.0,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "timestep_spacing": "leading",
            "trained_betas": None,
            "use_karras_sigmas": False,
        },
    ),
    "stabilityai/sdxl-turbo": (
        "EulerAncestralDiscreteScheduler",
        {**_SDXL_BETAS, "prediction_type": "epsilon", "steps_offset": 1, "timestep_spacing": "trailing"},
    ),
    "playgroundai/playground-v2.5-1024px-aesthetic": (
        "EDMDPMSolverMultistepScheduler",
        {"prediction_type": "epsilon", "rho": 7.0, "sigma_data": 0.5, "sigma_max": 80.0, "sigma_min": 0.002},
    ),
    "stabilityai/cosxl": (
        "EDMEulerScheduler",
        {
            "prediction_type": "v_prediction",
            "sigma_data": 1.0,
            "sigma_max": 120.0,
            "sigma_min": 0.002,
            "sigma_schedule": "exponential",
        },
    ),
    "stabilityai/stable-video-diffusion-img2vid-xt": (
        "EulerDiscreteScheduler",
        {
            **_SDXL_BETAS,
            "interpolation_type": "linear",
            "prediction_type": "v_prediction",
            "sigma_max": 700.0,
            "sigma_min": 0.002,
            "steps_offset": 1,
            "timestep_spacing": "leading",
            "timestep_type": "continuous",
            "use_karras_sigmas": True,
        },
    ),
    "v-prediction with zero terminal SNR": (
        "EulerDiscreteScheduler",
        {
            **_SDXL_BETAS,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "timestep_spacing": "trailing",
        },
    ),
    "DPM++ with Karras' noise levels": (
        "DPMSolverMultistepScheduler",
        {**_SDXL_BETAS, "algorithm_type": "sde-dpmsolver++", "solver_order": 3, "use_karras_sigmas": True},
    ),
    "DDPM that clips": ("DDPMScheduler", {**_SDXL_BETAS, "clip_sample": True}),
    "DDIM that predicts the picture": ("DDIMScheduler", {"clip_sample": False, "prediction_type": "sample"}),
    "betas along a sigmoid": ("DDPMScheduler", {"beta_schedule": "sigmoid", "clip_sample": False}),
    "flow matching": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
SVD = "stabilityai/stable-video-diffusion-img2vid-xt"


def scheduler(name: str, **changes: Any) -> Any:
    """A fresh scheduler as the model of that name comes with."""
    kind, config = SCHEDULERS[name]
    return getattr(diffusers, kind).from_config({**config, **changes})
