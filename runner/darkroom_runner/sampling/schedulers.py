"""Builds samplers by name on the base model's noise schedule, and the DDPM scheduler for training.

diffusers' `from_config` silently drops settings that the target class does not know. Here each setting that would be
lost is either harmless (it only configures the replaced algorithm), or adds a remark, or, where images would be wrong,
fails the run.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import diffusers
import torch

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.images import Scheduler
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, first_line
from darkroom_runner.run.remarks import Remarks

_CLASSES = {
    Scheduler.DDIM: diffusers.DDIMScheduler,
    Scheduler.DPM_PLUS_PLUS: diffusers.DPMSolverMultistepScheduler,
    Scheduler.EULER: diffusers.EulerDiscreteScheduler,
    Scheduler.EULER_ANCESTRAL: diffusers.EulerAncestralDiscreteScheduler,
    Scheduler.EULER_TRAILING: diffusers.EulerDiscreteScheduler,
    Scheduler.HEUN: diffusers.HeunDiscreteScheduler,
    Scheduler.LCM: diffusers.LCMScheduler,
    Scheduler.TCD: diffusers.TCDScheduler,
    Scheduler.UNIPC: diffusers.UniPCMultistepScheduler,
}

_ESSENTIAL: Mapping[str, str] = {
    "rescale_betas_zero_snr": "the model was trained from pure noise, and would start from another noise level",
    "timestep_type": "the model expects continuous noise levels, and would get discrete timesteps",
    "use_flow_sigmas": "the model was trained by flow matching",
}
"""Settings that change the meaning of the U-Net's input: without them the image is wrong."""

_NEUTRAL: Mapping[str, Any] = {"clip_sample": False, "thresholding": False}
"""Values without effect, where they differ from the class's default."""

_DEPENDENT: Mapping[str, str] = {
    "clip_sample_range": "clip_sample",
    "dynamic_thresholding_ratio": "thresholding",
    "sample_max_value": "thresholding",
    "flow_shift": "use_flow_sigmas",
}
"""Settings that have an effect only if another one is on."""

_ALGORITHM = frozenset(
    {
        "algorithm_type",
        "disable_corrector",
        "euler_at_final",
        "lambda_min_clipped",
        "lower_order_final",
        "original_inference_steps",
        "predict_x0",
        "set_alpha_to_one",
        "skip_prk_steps",
        "solver_order",
        "solver_p",
        "solver_type",
        "timestep_scaling",
        "variance_type",
    }
)
"""Settings of the sampling algorithm, which the job replaces on purpose."""

_CLIPPING = frozenset({"clip_sample", "thresholding", *_DEPENDENT})
"""Settings that keep the sampler's default, as in `from_config`, if the model's file does not set them."""

STEP_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError)
"""What diffusers' schedulers raise for incompatible settings or a missing package."""

_ALWAYS_POSSIBLE_STEPS = 2

_OTHER_FORMULATION = "EDM or flow-matching noise levels instead of DDPM's betas"


def build_sampler(current: Any, name: Scheduler | None, steps: int, remarks: Remarks) -> Any:
    """A sampler of the named kind with the current scheduler's noise schedule; `current` itself without a name.

    The sampler is tested with `steps` steps; a number of steps that it rejects is left to `timestep_spacing`. Adds the
    remark `SamplerSettingDropped` for each setting that the sampler does not have. Raises `InvalidRunError` if the
    images would be wrong, and `ModelIncompatibleError` if the base model's own scheduler does not work.
    """
    if name is None:
        if (fault := _step_fault(current, steps)) is not None:
            raise ModelIncompatibleError(
                f"The base model's own sampler, {_name(current)}, does not work with {steps} steps: {fault}"
            )
        return current
    kind = _CLASSES[name]
    if not has_betas(current):
        raise _refusal(name, current, f"the model has {_OTHER_FORMULATION}")
    dropped = _dropped(current, kind)
    for setting in dropped.keys() & _ESSENTIAL.keys():
        raise _refusal(name, current, f"it has no setting {setting} ({dropped[setting]}): {_ESSENTIAL[setting]}")
    sampler = _built(kind, current, name, steps)
    for setting, value in dropped.items():
        remarks.add(
            RemarkReason.SAMPLER_SETTING_DROPPED,
            f"The sampler {name.value} has no setting {setting}, which is {value} in the base model's "
            f"{_name(current)}. Omit images.scheduler to use all of the base model's settings.",
        )
    return sampler


def training_noise_scheduler(current: Any) -> Any:
    """A DDPMScheduler with the base model's noise schedule, for adding noise in training.

    Raises `ModelIncompatibleError` for a model that was not trained on DDPM's betas and discrete timesteps:
    `from_config` would give it a linear schedule that it was not trained with.
    """
    if not has_betas(current) or is_on(current, "timestep_type") or is_on(current, "use_flow_sigmas"):
        raise ModelIncompatibleError(
            f"The base model can't be trained: its scheduler, {_name(current)}, has {_OTHER_FORMULATION}. "
            "Train on an SDXL base model with a DDPM schedule, such as stabilityai/stable-diffusion-xl-base-1.0."
        )
    return diffusers.DDPMScheduler.from_config(_effective(current, diffusers.DDPMScheduler))


def _built(kind: Any, current: Any, name: Scheduler, steps: int) -> Any:
    """With the algorithm settings of the model's file if the sampler works with them, otherwise with its own."""
    extra: dict[str, Any] = {}
    if name is Scheduler.DDIM and "clip_sample" not in current.config:
        # By default DDIM clips the predicted clean latents to ±1, which SDXL's latents exceed.
        extra["clip_sample"] = False
    if name is Scheduler.EULER_TRAILING:
        # SDXL-Lightning was distilled with it: its first step is from pure noise.
        extra["timestep_spacing"] = "trailing"
    settings = {**_effective(current, kind), **extra}
    own = {setting: value for setting, value in settings.items() if setting not in _ALGORITHM}
    fault: str | None = None
    for each in (settings, own):
        try:
            sampler = kind.from_config(each)
        except STEP_FAULTS as error:
            fault = fault or first_line(error)
            continue
        if (found := _step_fault(sampler, steps)) is None:
            return sampler
        fault = fault or found
    raise _refusal(name, current, fault or "it can't be created")


def _effective(current: Any, kind: Any) -> dict[str, Any]:
    """The settings to pass to another class, with the current class's defaults filled in.

    Otherwise a setting that is missing in the model's file would get the *target's* default, which may differ: Heun's
    betas are not Euler's. Defaults of the replaced algorithm are not passed on: DPMSolverSinglestep's
    `lower_order_final` makes UniPC return NaN.
    """
    absent = frozenset(current.config.get("_use_default_values", ())) if kind is not type(current) else frozenset()
    left = (absent & (_ALGORITHM | _CLIPPING)) | {"_use_default_values"}
    return {setting: value for setting, value in current.config.items() if setting not in left}


def _dropped(current: Any, kind: Any) -> dict[str, Any]:
    """Settings that have an effect in the current scheduler and that `kind` does not accept."""
    defaults, known = settings_of(type(current)), settings_of(kind)
    return {
        setting: current.config[setting]
        for setting in sorted(defaults.keys() - known.keys() - _ALGORITHM)
        if is_on(current, setting) and (setting not in _DEPENDENT or is_on(current, _DEPENDENT[setting]))
    }


def is_on(current: Any, setting: str) -> bool:
    """Whether a setting has an effect: the class has it, and its value is not neutral."""
    defaults = settings_of(type(current))
    if setting not in defaults:
        return False
    return bool(current.config.get(setting) != _NEUTRAL.get(setting, defaults[setting]))


def settings_of(kind: type) -> dict[str, Any]:
    """A scheduler class's settings with their defaults."""
    parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {name: each.default for name, each in parameters.items() if name != "self"}


def has_betas(current: Any) -> bool:
    """Whether a scheduler is defined by DDPM's betas, unlike EDM and flow matching."""
    return "beta_schedule" in settings_of(type(current))


def _step_fault(sampler: Any, steps: int) -> str | None:
    """Run a sampler on tiny latents; returns what is wrong with it, or None.

    Faults are an unknown prediction type, an interface for other pipelines (flow matching has no `scale_model_input`),
    or output that is not finite. A number of steps that the sampler rejects is no fault here: see
    `timestep_spacing.ensure_starts_from_noise`.
    """
    probe = type(sampler).from_config(sampler.config)
    latents = torch.ones(1, 4, 1, 1)
    try:
        if not _accepts(probe, steps):
            probe.set_timesteps(_ALWAYS_POSSIBLE_STEPS)
        for timestep in probe.timesteps:
            predicted = 0.5 * probe.scale_model_input(latents, timestep).sign()
            latents = probe.step(predicted, timestep, latents).prev_sample
    except STEP_FAULTS as error:
        return first_line(error)
    return None if torch.isfinite(latents).all() else f"{steps} steps give NaN or infinite values"


def _accepts(probe: Any, steps: int) -> bool:
    try:
        probe.set_timesteps(steps)
    except STEP_FAULTS:
        return False
    return True


def _refusal(name: Scheduler, current: Any, why: str) -> InvalidRunError:
    return InvalidRunError(
        f"The sampler {name.value} does not work with this base model, whose own sampler is {_name(current)}: {why}. "
        "Choose another images.scheduler, or omit it to use the base model's own."
    )


def _name(scheduler: Any) -> str:
    return type(scheduler).__name__
