"""Samplers on the schedules of real models: what is kept, what is remarked upon, and what is refused."""

from typing import Any

import diffusers
import pytest
import torch
from support import published

from darkroom_contract.specs import Scheduler
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import training_schedule, with_sampler

REFUSED = "refused"
ALL_REFUSED = dict.fromkeys(Scheduler, REFUSED)

# What each sampler does with a model's settings, where it is not "keeps all".
EXPECTED: dict[str, dict[Scheduler, Any]] = {
    "stabilityai/stable-diffusion-xl-base-1.0": {},
    "stabilityai/sdxl-turbo": {},
    "playgroundai/playground-v2.5-1024px-aesthetic": ALL_REFUSED,
    "stabilityai/cosxl": ALL_REFUSED,
    "stabilityai/stable-video-diffusion-img2vid-xt": {
        name: REFUSED for name in Scheduler if name is not Scheduler.EULER
    },
    "v-prediction with zero terminal SNR": {Scheduler.HEUN: REFUSED},
    "DPM++ with Karras' noise levels": {
        Scheduler.DDIM: ["use_karras_sigmas (True)"],
        Scheduler.EULER_ANCESTRAL: ["use_karras_sigmas (True)"],
    },
    "DDPM that clips": {
        name: ["clip_sample (True)"]
        for name in (Scheduler.DPM_PLUS_PLUS, Scheduler.EULER, Scheduler.EULER_ANCESTRAL, Scheduler.UNIPC)
    },
    "DDIM that predicts the picture": {Scheduler.EULER_ANCESTRAL: REFUSED},
    "betas along a sigmoid": ALL_REFUSED,
    "flow matching": ALL_REFUSED,
}

TABLE = [(model, name) for model in published.SCHEDULERS for name in Scheduler]


def test_the_table_has_every_published_schedule() -> None:
    assert EXPECTED.keys() == published.SCHEDULERS.keys()


@pytest.mark.parametrize(("model", "name"), TABLE, ids=[f"{model}-{name.value}" for model, name in TABLE])
def test_a_setting_that_a_sampler_drops_is_remarked_upon_or_refused(model: str, name: Scheduler) -> None:
    current, remarks = published.scheduler(model), Remarks()
    expected = EXPECTED[model].get(name, [])

    if expected == REFUSED:
        with pytest.raises(InvalidRunError, match=r"images\.scheduler"):
            with_sampler(current, name, 4, remarks)
        assert remarks.found == ()
        return
    sampler = with_sampler(current, name, 4, remarks)

    assert [each.reason for each in remarks.found] == ["SamplerSettingDropped"] * len(expected)
    for remark, setting in zip(remarks.found, expected, strict=True):
        assert f"{name.value} draws without {setting}" in remark.message
    for setting in ("beta_start", "beta_end", "beta_schedule", "prediction_type", "timestep_spacing"):
        assert sampler.config[setting] == current.config[setting]


def test_the_schedule_stays_where_the_model_s_file_leaves_it_to_its_own_sampler_s_defaults() -> None:
    """Heun's default betas are not Euler's."""
    current = published.scheduler(published.SDXL)
    bare = type(current).from_config({"beta_schedule": "scaled_linear"})

    heun = with_sampler(bare, Scheduler.HEUN, 4, Remarks())

    assert (heun.config.beta_start, heun.config.beta_end) == (bare.config.beta_start, bare.config.beta_end)
    assert heun.alphas_cumprod.equal(bare.alphas_cumprod)


def test_latents_beyond_one_are_not_clipped_by_ddim() -> None:
    current = published.scheduler("stabilityai/sdxl-turbo")
    assert not with_sampler(current, Scheduler.DDIM, 4, Remarks()).config.clip_sample


@pytest.mark.parametrize("model", [each for each in published.SCHEDULERS if each != "flow matching"])
def test_without_a_name_the_base_model_s_own_sampler_stays(model: str) -> None:
    current, remarks = published.scheduler(model), Remarks()
    assert with_sampler(current, None, 4, remarks) is current
    assert remarks.found == ()


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (published.scheduler("stabilityai/sdxl-turbo", prediction_type="sample"), "prediction_type not implemented"),
        (published.scheduler("flow matching"), "has no attribute 'scale_model_input'"),
    ],
)
def test_a_base_model_whose_own_sampler_can_t_draw_is_refused(current: Any, words: str) -> None:
    with pytest.raises(ModelIncompatibleError, match=f"own sampler, .*, can't draw in 4 steps: .*{words}"):
        with_sampler(current, None, 4, Remarks())


@pytest.mark.parametrize(
    "model",
    [
        "playgroundai/playground-v2.5-1024px-aesthetic",
        "stabilityai/cosxl",
        "stabilityai/stable-video-diffusion-img2vid-xt",
        "flow matching",
    ],
)
def test_a_model_without_ddpm_s_betas_is_never_trained_on_a_linear_schedule(model: str) -> None:
    with pytest.raises(ModelIncompatibleError, match="can't be trained: its scheduler"):
        training_schedule(published.scheduler(model))


@pytest.mark.parametrize(
    "model", [published.SDXL, "stabilityai/sdxl-turbo", "v-prediction with zero terminal SNR", "DDPM that clips"]
)
def test_training_noises_as_the_model_s_own_schedule_does(model: str) -> None:
    current = published.scheduler(model)

    schedule = training_schedule(current)

    # Euler's last step of a zero-SNR schedule is 2 ** -24, DDPM's is 0.
    assert schedule.alphas_cumprod.allclose(current.alphas_cumprod, rtol=1e-6, atol=1e-7)
    assert schedule.config.prediction_type == current.config.prediction_type


# --- the algorithm's own settings -----------------------------------------------------------------------------------


def drawn(sampler: Any, steps: int) -> torch.Tensor:
    """Latents after all steps, with the same prediction at each."""
    probe = type(sampler).from_config(sampler.config)
    probe.set_timesteps(steps)
    latents = torch.ones(1, 4, 1, 1)
    for timestep in probe.timesteps:
        probe.scale_model_input(latents, timestep)
        latents = probe.step(torch.full_like(latents, 0.1), timestep, latents).prev_sample
    return latents


def based_on(kind: str, **settings: Any) -> Any:
    """SDXL's noise schedule in the file of a model with another sampler, which says no more than `settings`."""
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return getattr(diffusers, kind).from_config({**betas, **settings})


@pytest.mark.parametrize("steps", [2, 10, 30])
@pytest.mark.parametrize("settings", [{}, {"lower_order_final": False}], ids=["by default", "in the model's file"])
def test_unipc_draws_on_a_singlestep_model(steps: int, settings: dict[str, Any]) -> None:
    """Whose algorithm has no lower order at the end; UniPC then divides by zero at its last step."""
    sampler = with_sampler(based_on("DPMSolverSinglestepScheduler", **settings), Scheduler.UNIPC, steps, Remarks())

    assert torch.isfinite(drawn(sampler, steps)).all()


@pytest.mark.parametrize("kind", ["DEISMultistepScheduler", "SASolverScheduler"])
def test_dpm_draws_on_models_whose_algorithm_has_another_name(kind: str) -> None:
    sampler = with_sampler(based_on(kind), Scheduler.DPM_PLUS_PLUS, 10, Remarks())

    assert sampler.config.algorithm_type == "dpmsolver++"


def test_what_the_model_s_file_says_of_the_algorithm_is_kept_where_the_sampler_draws_with_it() -> None:
    current = published.scheduler("DPM++ with Karras' noise levels")

    assert with_sampler(current, Scheduler.UNIPC, 10, Remarks()).config.solver_order == 3


def test_heun_does_not_begin_to_clip_where_the_model_s_file_says_nothing_of_it() -> None:
    """DDPM's default would clip SDXL's latents to ±1."""
    assert not with_sampler(based_on("DDPMScheduler"), Scheduler.HEUN, 10, Remarks()).config.clip_sample


def test_a_sampler_is_tried_to_its_last_step() -> None:
    current = based_on("PNDMScheduler", skip_prk_steps=False, steps_offset=1)
    assert with_sampler(current, None, 30, Remarks()) is current

    with pytest.raises(ModelIncompatibleError, match=r"own sampler, PNDMScheduler, can't draw in 2 steps: "):
        with_sampler(current, None, 2, Remarks())


def test_a_sampler_that_ends_in_nan_is_refused() -> None:
    current = based_on("UniPCMultistepScheduler", lower_order_final=False, final_sigmas_type="zero")

    with pytest.raises(ModelIncompatibleError, match="10 steps of it end in NaN or infinite values"):
        with_sampler(current, None, 10, Remarks())


def test_more_steps_than_a_sampler_has_are_left_to_the_message_that_names_the_setting() -> None:
    current = based_on("LCMScheduler", original_inference_steps=50)

    assert with_sampler(current, None, 60, Remarks()) is current
