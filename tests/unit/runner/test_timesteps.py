"""Few steps must start from noise: with "leading" spacing one step would start at its end and return the noise."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from support import published

from darkroom_contract.specs import Scheduler
from darkroom_runner.base_models import SDXL, load_pipeline, locate
from darkroom_runner.device import generator
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError
from darkroom_runner.remarks import Remarks
from darkroom_runner.schedulers import with_sampler
from darkroom_runner.timesteps import from_noise

SHIPPED = Path(__file__).parents[3] / "models"
SAMPLERS = [None, *Scheduler]


def spaced(model: str, name: Scheduler | None, steps: int) -> tuple[Any, Remarks]:
    remarks = Remarks()
    sampler = with_sampler(published.scheduler(model), name, steps, remarks)
    return from_noise(sampler, steps, "images.steps", remarks), remarks


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", SAMPLERS)
def test_few_steps_on_sdxl_s_published_schedule_start_near_noise(name: Scheduler | None, steps: int) -> None:
    scheduler, remarks = spaced(published.SDXL, name, steps)

    scheduler.set_timesteps(steps)

    assert float(scheduler.timesteps[0]) >= 990
    assert [each.reason for each in remarks.found] == ["TimestepsReplaced"]
    assert f"With images.steps {steps} the base model's spacing of timesteps, 'leading'" in remarks.found[0].message


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [4, 30])
def test_more_steps_keep_the_published_spacing(name: Scheduler | None, steps: int) -> None:
    scheduler, remarks = spaced(published.SDXL, name, steps)
    assert scheduler.config.timestep_spacing == "leading"
    assert remarks.found == ()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 25])
@pytest.mark.parametrize("name", SAMPLERS)
def test_no_number_of_steps_starts_far_from_noise(name: Scheduler | None, steps: int) -> None:
    scheduler, _ = spaced(published.SDXL, name, steps)
    scheduler.set_timesteps(steps)
    assert float(scheduler.timesteps[0]) >= 750


@pytest.mark.parametrize("name", [Scheduler.DDIM, Scheduler.EULER, Scheduler.EULER_ANCESTRAL, Scheduler.HEUN])
def test_one_step_of_linspace_starts_near_noise_too(name: Scheduler) -> None:
    scheduler, remarks = spaced("DPM++ with Karras' noise levels", name, 1)
    scheduler.set_timesteps(1)
    assert float(scheduler.timesteps[0]) >= 990
    assert "TimestepsReplaced" in [each.reason for each in remarks.found]


@pytest.mark.parametrize(
    "model", [published.SVD, "playgroundai/playground-v2.5-1024px-aesthetic", "stabilityai/sdxl-turbo", "flow matching"]
)
@pytest.mark.parametrize("steps", [1, 2, 25])
def test_schedules_that_start_from_noise_stay_as_they_are(model: str, steps: int) -> None:
    current, remarks = published.scheduler(model), Remarks()
    assert from_noise(current, steps, "images.steps", remarks) is current
    assert remarks.found == ()


def test_one_step_is_refused_where_no_spacing_draws() -> None:
    """CosXL's exponential noise levels begin, when there is but one, at the lowest."""
    with pytest.raises(InvalidRunError, match=r"With images\.steps 1 the sampler EDMEulerScheduler .* Raise images\."):
        from_noise(published.scheduler("stabilityai/cosxl"), 1, "images.steps", Remarks())


def test_steps_that_a_sampler_does_not_take_are_refused_with_their_setting() -> None:
    current = type(published.scheduler(published.SDXL)).from_config({})
    lcm = diffusers.LCMScheduler.from_config(current.config, original_inference_steps=50)
    with pytest.raises(InvalidRunError, match=r"^images\.steps is 60: .* Change images\.steps\."):
        from_noise(lcm, 60, "images.steps", Remarks())


def test_noise_levels_that_no_pipeline_of_sdxl_knows_are_refused() -> None:
    with pytest.raises(ModelIncompatibleError, match="IPNDMScheduler"):
        from_noise(diffusers.IPNDMScheduler(), 30, "images.steps", Remarks())


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_picture_of_one_step_is_not_the_noise(name: Scheduler | None) -> None:
    """By the shipped model, which is trained, on SDXL's spacing."""
    pipeline = load_pipeline(locate("darkroom-tiny-sdxl", SDXL, SHIPPED), torch.float32, torch.device("cpu"))
    current = type(pipeline.scheduler).from_config(
        pipeline.scheduler.config, timestep_spacing="leading", steps_offset=1
    )
    noise = torch.randn(1, 4, 16, 16, generator=generator(1))

    def likeness_to_noise(scheduler: Any) -> float:
        pipeline.scheduler = scheduler
        drawn = pipeline(
            "a red circle on a navy background",
            num_inference_steps=1,
            guidance_scale=1.0,
            latents=noise.clone(),
            generator=generator(1),
            output_type="latent",
        ).images
        return float(torch.corrcoef(torch.stack([drawn.flatten(), noise.flatten()]))[0, 1])

    sampler = with_sampler(current, name, 1, Remarks())

    assert abs(likeness_to_noise(from_noise(sampler, 1, "images.steps", Remarks()))) < 0.35
    if name not in (Scheduler.DPM_PLUS_PLUS, Scheduler.UNIPC):
        assert likeness_to_noise(sampler) > 0.8
