"""Samplers by name, on the base model's own noise schedule. Called by `drawing` and by the training session.

diffusers' `from_config` drops in silence what the target class does not know. Here every setting of the base model's
scheduler that the named sampler would lose is either harmless (it only steers the algorithm that was replaced), or a
remark, or, where the pictures would be wrong, refused.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import diffusers
import torch

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import Scheduler
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, first_line
from darkroom_runner.remarks import Remarks

_CLASSES = {
    Scheduler.DDIM: diffusers.DDIMScheduler,
    Scheduler.DPM_PLUS_PLUS: diffusers.DPMSolverMultistepScheduler,
    Scheduler.EULER: diffusers.EulerDiscreteScheduler,
    Scheduler.EULER_ANCESTRAL: diffusers.EulerAncestralDiscreteScheduler,
    Scheduler.HEUN: diffusers.HeunDiscreteScheduler,
    Scheduler.UNIPC: diffusers.UniPCMultistepScheduler,
}

_ESSENTIAL: Mapping[str, str] = {
    "rescale_betas_zero_snr": "the model was trained down to pure noise, and would start from another noise level",
    "timestep_type": "the model reads continuous noise levels, and would get the numbers of discrete steps",
    "use_flow_sigmas": "the model was trained on straight paths between noise and picture",
}
"""Settings that change what the U-Net's input means: without them the picture is wrong."""

_NEUTRAL: Mapping[str, Any] = {"clip_sample": False, "thresholding": False}
"""The value without effect, where it is not the default of the class."""

_DEPENDENT: Mapping[str, str] = {
    "clip_sample_range": "clip_sample",
    "dynamic_thresholding_ratio": "thresholding",
    "sample_max_value": "thresholding",
    "flow_shift": "use_flow_sigmas",
}
"""Settings without effect unless another one is on."""

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
"""Settings of the algorithm that the job replaces on purpose."""

_CLIPPING = frozenset({"clip_sample", "thresholding", *_DEPENDENT})
"""Left to the sampler's own default, as `from_config` does, where the model's file says nothing of it."""

STEP_FAULTS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError)
"""What diffusers' schedulers raise where their settings don't go together, or a package is missing."""

_ALWAYS_POSSIBLE_STEPS = 2

_OTHER_FORMULATION = "noise levels of its own (EDM or flow matching) in place of DDPM's betas"


def with_sampler(current: Any, name: Scheduler | None, steps: int, remarks: Remarks) -> Any:
    """A scheduler of the named kind on the present one's schedule; the present one when no name is given.

    It can take `steps` steps, or `timesteps.from_noise` says why not. Adds `SamplerSettingDropped` for what the sampler
    does not know. Raises `InvalidRunError` when the pictures would be wrong, and `ModelIncompatibleError` when the base
    model's own scheduler can't draw.
    """
    if name is None:
        if (fault := _step_fault(current, steps)) is not None:
            raise ModelIncompatibleError(
                f"The base model's own sampler, {_name(current)}, can't draw in {steps} steps: {fault}"
            )
        return current
    kind = _CLASSES[name]
    if not has_betas(current):
        raise _refusal(name, current, f"the model has {_OTHER_FORMULATION}")
    dropped = _dropped(current, kind)
    for setting in dropped.keys() & _ESSENTIAL.keys():
        raise _refusal(name, current, f"it does not know {setting} ({dropped[setting]}): {_ESSENTIAL[setting]}")
    sampler = _built(kind, current, name, steps)
    for setting, value in dropped.items():
        remarks.add(
            RemarkReason.SAMPLER_SETTING_DROPPED,
            f"The sampler {name.value} draws without {setting} ({value}) of the base model's {_name(current)}: it does "
            "not know it. Leave images.scheduler out to draw with all of the base model's settings.",
        )
    return sampler


def training_schedule(current: Any) -> Any:
    """The forward process of training, DDPM, on a base model's schedule.

    Raises `ModelIncompatibleError` for a model that was not trained on discrete steps of DDPM's betas: `from_config`
    would give it a linear schedule that it never saw.
    """
    if not has_betas(current) or is_on(current, "timestep_type") or is_on(current, "use_flow_sigmas"):
        raise ModelIncompatibleError(
            f"The base model can't be trained: its scheduler, {_name(current)}, has {_OTHER_FORMULATION}. "
            "Train on an SDXL base model with a DDPM schedule, such as stabilityai/stable-diffusion-xl-base-1.0."
        )
    return diffusers.DDPMScheduler.from_config(_effective(current, diffusers.DDPMScheduler))


def _built(kind: Any, current: Any, name: Scheduler, steps: int) -> Any:
    """With the algorithm's settings of the model's file if it draws with them, else with its own."""
    # DDIM clips its guess of the clean latents to ±1 unless told not to; SDXL's latents go beyond.
    extra = {"clip_sample": False} if name is Scheduler.DDIM and "clip_sample" not in current.config else {}
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
    raise _refusal(name, current, fault or "it can't be built")


def _effective(current: Any, kind: Any) -> dict[str, Any]:
    """The settings that another kind of scheduler takes over, as the present class has them.

    Without this, one that is missing in the model's file would become the *target's* default, which may differ: Heun's
    betas are not Euler's. Defaults of the algorithm that is replaced stay behind: DPMSolverSinglestep's
    `lower_order_final` makes UniPC return NaN.
    """
    absent = frozenset(current.config.get("_use_default_values", ())) if kind is not type(current) else frozenset()
    left = (absent & (_ALGORITHM | _CLIPPING)) | {"_use_default_values"}
    return {setting: value for setting, value in current.config.items() if setting not in left}


def _dropped(current: Any, kind: Any) -> dict[str, Any]:
    """Settings that have an effect at present and that `kind` does not take. The file's other entries have none."""
    defaults, known = settings_of(type(current)), settings_of(kind)
    return {
        setting: current.config[setting]
        for setting in sorted(defaults.keys() - known.keys() - _ALGORITHM)
        if is_on(current, setting) and (setting not in _DEPENDENT or is_on(current, _DEPENDENT[setting]))
    }


def is_on(current: Any, setting: str) -> bool:
    """Whether a setting has an effect: the class knows it, and its value is not the neutral one."""
    defaults = settings_of(type(current))
    if setting not in defaults:
        return False
    return bool(current.config.get(setting) != _NEUTRAL.get(setting, defaults[setting]))


def settings_of(kind: type) -> dict[str, Any]:
    """The settings that a class of schedulers takes, with its defaults."""
    parameters = inspect.signature(kind.__init__).parameters  # type: ignore[misc]
    return {name: each.default for name, each in parameters.items() if name != "self"}


def has_betas(current: Any) -> bool:
    """Whether a scheduler is of DDPM's kind: EDM and flow matching know no betas."""
    return "beta_schedule" in settings_of(type(current))


def _step_fault(sampler: Any, steps: int) -> str | None:
    """Why a sampler can't take its steps, by tiny latents: it does not know the prediction type, it is none for such
    pipelines (flow matching has no `scale_model_input`), or what it returns is not finite. None when it can.

    None too where its timesteps can't be set for this number of steps, but for another: see `timesteps.from_noise`.
    """
    probe = type(sampler).from_config(sampler.config)
    latents = torch.ones(1, 4, 1, 1)
    try:
        if not _takes(probe, steps):
            probe.set_timesteps(_ALWAYS_POSSIBLE_STEPS)
        for timestep in probe.timesteps:
            predicted = 0.5 * probe.scale_model_input(latents, timestep).sign()
            latents = probe.step(predicted, timestep, latents).prev_sample
    except STEP_FAULTS as error:
        return first_line(error)
    return None if torch.isfinite(latents).all() else f"{steps} steps of it end in NaN or infinite values"


def _takes(probe: Any, steps: int) -> bool:
    try:
        probe.set_timesteps(steps)
    except STEP_FAULTS:
        return False
    return True


def _refusal(name: Scheduler, current: Any, why: str) -> InvalidRunError:
    return InvalidRunError(
        f"The sampler {name.value} can't draw with this base model, whose own is {_name(current)}: {why}. Choose "
        "another images.scheduler, or leave it out for the base model's own."
    )


def _name(scheduler: Any) -> str:
    return type(scheduler).__name__
