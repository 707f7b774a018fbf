"""Samplers with the noise schedules of real models: settings that are kept, dropped with a remark, or refused."""

from typing import Any

import diffusers
import pytest
import torch
from support import published

from darkroom_contract.specs.images import Scheduler
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import build_sampler, training_noise_scheduler

REFUSED = "refused"
ALL_REFUSED = dict.fromkeys(Scheduler, REFUSED)

# Settings that each sampler drops, or REFUSED. Samplers that keep all settings are omitted.
EXPECTED: dict[str, dict[Scheduler, Any]] = {
    "stabilityai/stable-diffusion-xl-base-1.0": {},
    "stabilityai/sdxl-turbo": {},
    "playgroundai/playground-v2.5-1024px-aesthetic": ALL_REFUSED,
    "stabilityai/cosxl": ALL_REFUSED,
    "stabilityai/stable-video-diffusion-img2vid-xt": {
        name: REFUSED for name in Scheduler if name not in (Scheduler.EULER, Scheduler.EULER_TRAILING)
    },
    "v-prediction with zero terminal SNR": {Scheduler.HEUN: REFUSED},
    "DPM++ with Karras' noise levels": {
        name: ["use_karras_sigmas (True)"]
        for name in (Scheduler.DDIM, Scheduler.EULER_ANCESTRAL, Scheduler.LCM, Scheduler.TCD)
    },
    "DDPM that clips": {
        name: ["clip_sample (True)"]
        for name in (
            *(Scheduler.DPM_PLUS_PLUS, Scheduler.EULER, Scheduler.EULER_ANCESTRAL),
            *(Scheduler.EULER_TRAILING, Scheduler.UNIPC),
        )
    },
    "DDIM that predicts the picture": {Scheduler.EULER_ANCESTRAL: REFUSED},
    "betas along a sigmoid": ALL_REFUSED,
    "flow matching": ALL_REFUSED,
}

TABLE = [(model, name) for model in published.SCHEDULERS for name in Scheduler]


def test_the_table_has_every_published_scheduler() -> None:
    assert EXPECTED.keys() == published.SCHEDULERS.keys()


@pytest.mark.parametrize(("model", "name"), TABLE, ids=[f"{model}-{name.value}" for model, name in TABLE])
def test_a_dropped_setting_adds_a_remark_or_is_refused(model: str, name: Scheduler) -> None:
    current, remarks = published.scheduler(model), Remarks()
    expected = EXPECTED[model].get(name, [])

    if expected == REFUSED:
        with pytest.raises(InvalidRunError, match=r"images\.scheduler"):
            build_sampler(current, name, 4, remarks)
        assert remarks.collected == ()
        return
    sampler = build_sampler(current, name, 4, remarks)

    assert [each.reason for each in remarks.collected] == ["SamplerSettingDropped"] * len(expected)
    for remark, setting in zip(remarks.collected, expected, strict=True):
        setting_name, value = setting.removesuffix(")").split(" (")
        assert f"{name.value} has no setting {setting_name}, which is {value} in" in remark.message
    for setting in ("beta_start", "beta_end", "beta_schedule", "prediction_type"):
        assert sampler.config[setting] == current.config[setting]
    spacing = "trailing" if name is Scheduler.EULER_TRAILING else current.config["timestep_spacing"]
    assert sampler.config["timestep_spacing"] == spacing


def test_defaults_of_the_model_s_own_scheduler_are_kept() -> None:
    """Heun's default betas are not Euler's."""
    current = published.scheduler(published.SDXL)
    bare = type(current).from_config({"beta_schedule": "scaled_linear"})

    heun = build_sampler(bare, Scheduler.HEUN, 4, Remarks())

    assert (heun.config.beta_start, heun.config.beta_end) == (bare.config.beta_start, bare.config.beta_end)
    assert heun.alphas_cumprod.equal(bare.alphas_cumprod)


def test_ddim_does_not_clip_latents() -> None:
    current = published.scheduler("stabilityai/sdxl-turbo")
    assert not build_sampler(current, Scheduler.DDIM, 4, Remarks()).config.clip_sample


@pytest.mark.parametrize("model", [each for each in published.SCHEDULERS if each != "flow matching"])
def test_without_a_name_the_base_model_s_own_sampler_is_used(model: str) -> None:
    current, remarks = published.scheduler(model), Remarks()
    assert build_sampler(current, None, 4, remarks) is current
    assert remarks.collected == ()


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (published.scheduler("stabilityai/sdxl-turbo", prediction_type="sample"), "prediction_type not implemented"),
        (published.scheduler("flow matching"), "has no attribute 'scale_model_input'"),
    ],
)
def test_a_base_model_with_an_unusable_sampler_is_refused(current: Any, words: str) -> None:
    with pytest.raises(ModelIncompatibleError, match=f"own sampler, .*, does not work with 4 steps: .*{words}"):
        build_sampler(current, None, 4, Remarks())


@pytest.mark.parametrize(
    "model",
    [
        "playgroundai/playground-v2.5-1024px-aesthetic",
        "stabilityai/cosxl",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "flow matching",
    ],
)
def test_a_model_without_ddpm_betas_is_not_trained_with_a_linear_schedule(model: str) -> None:
    with pytest.raises(ModelIncompatibleError, match="can't be trained: its scheduler"):
        training_noise_scheduler(published.scheduler(model))


@pytest.mark.parametrize(
    "model", [published.SDXL, "stabilityai/sdxl-turbo", "v-prediction with zero terminal SNR", "DDPM that clips"]
)
def test_training_uses_the_model_s_own_noise_schedule(model: str) -> None:
    current = published.scheduler(model)

    schedule = training_noise_scheduler(current)

    # Euler's last step of a zero-SNR schedule is 2 ** -24, DDPM's is 0.
    assert schedule.alphas_cumprod.allclose(current.alphas_cumprod, rtol=1e-6, atol=1e-7)
    assert schedule.config.prediction_type == current.config.prediction_type


# --- the algorithm's own settings -----------------------------------------------------------------------------------


def sampled(sampler: Any, steps: int) -> torch.Tensor:
    """Latents after all steps, with a constant prediction."""
    probe = type(sampler).from_config(sampler.config)
    probe.set_timesteps(steps)
    latents = torch.ones(1, 4, 1, 1)
    for timestep in probe.timesteps:
        probe.scale_model_input(latents, timestep)
        latents = probe.step(torch.full_like(latents, 0.1), timestep, latents).prev_sample
    return latents


def based_on(kind: str, **settings: Any) -> Any:
    """A scheduler with SDXL's noise schedule, as loaded from a model's file that has only `settings` besides it."""
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return getattr(diffusers, kind).from_config({**betas, **settings})


@pytest.mark.parametrize("steps", [2, 10, 30])
@pytest.mark.parametrize("settings", [{}, {"lower_order_final": False}], ids=["by default", "in the model's file"])
def test_unipc_works_with_a_singlestep_model(steps: int, settings: dict[str, Any]) -> None:
    """DPMSolverSinglestep turns `lower_order_final` off, with which UniPC divides by zero at its last step."""
    sampler = build_sampler(based_on("DPMSolverSinglestepScheduler", **settings), Scheduler.UNIPC, steps, Remarks())

    assert torch.isfinite(sampled(sampler, steps)).all()


@pytest.mark.parametrize("kind", ["DEISMultistepScheduler", "SASolverScheduler"])
def test_dpm_works_with_models_of_another_algorithm_type(kind: str) -> None:
    sampler = build_sampler(based_on(kind), Scheduler.DPM_PLUS_PLUS, 10, Remarks())

    assert sampler.config.algorithm_type == "dpmsolver++"


def test_algorithm_settings_of_the_model_s_file_are_kept_where_they_work() -> None:
    current = published.scheduler("DPM++ with Karras' noise levels")

    assert build_sampler(current, Scheduler.UNIPC, 10, Remarks()).config.solver_order == 3


def test_heun_does_not_clip_unless_the_model_s_file_says_so() -> None:
    """DDPM's default would clip SDXL's latents to ±1."""
    assert not build_sampler(based_on("DDPMScheduler"), Scheduler.HEUN, 10, Remarks()).config.clip_sample


def test_a_sampler_is_tested_to_its_last_step() -> None:
    current = based_on("PNDMScheduler", skip_prk_steps=False, steps_offset=1)
    assert build_sampler(current, None, 30, Remarks()) is current

    with pytest.raises(ModelIncompatibleError, match=r"own sampler, PNDMScheduler, does not work with 2 steps: "):
        build_sampler(current, None, 2, Remarks())


def test_a_sampler_that_returns_nan_is_refused() -> None:
    current = based_on("UniPCMultistepScheduler", lower_order_final=False, final_sigmas_type="zero")

    with pytest.raises(ModelIncompatibleError, match="10 steps give NaN or infinite values"):
        build_sampler(current, None, 10, Remarks())


def test_a_rejected_number_of_steps_is_left_to_timestep_spacing() -> None:
    current = based_on("LCMScheduler", original_inference_steps=50)

    assert build_sampler(current, None, 60, Remarks()) is current
