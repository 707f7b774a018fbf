"""Timestep spacing: with few steps, "leading" spacing would start too late and return noise."""

from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from support import published

from darkroom_contract.specs.images import Scheduler
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError
from darkroom_runner.models.device import generator
from darkroom_runner.models.pretrained import SDXL, find_pretrained, load_pipeline
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.timestep_spacing import ensure_starts_from_noise

SHIPPED = Path(__file__).parents[4] / "models"
FEW_STEP = [Scheduler.EULER_TRAILING, Scheduler.LCM, Scheduler.TCD]
"""Samplers that start from noise with every number of steps."""
SAMPLERS = [None, *Scheduler]
OTHERS = [each for each in SAMPLERS if each not in FEW_STEP]


def spaced(model: str, name: Scheduler | None, steps: int) -> tuple[Any, Remarks]:
    remarks = Remarks()
    sampler = build_sampler(published.scheduler(model), name, steps, remarks)
    return ensure_starts_from_noise(sampler, steps, "images.steps", remarks), remarks


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", OTHERS)
def test_few_steps_with_sdxl_s_published_scheduler_start_near_noise(name: Scheduler | None, steps: int) -> None:
    scheduler, remarks = spaced(published.SDXL, name, steps)

    scheduler.set_timesteps(steps)

    assert float(scheduler.timesteps[0]) >= 990
    assert [each.reason for each in remarks.collected] == ["TimestepsReplaced"]
    assert f"With images.steps {steps} the base model's timestep spacing, 'leading'" in remarks.collected[0].message


@pytest.mark.parametrize("steps", [1, 2, 4, 12])
@pytest.mark.parametrize("name", FEW_STEP)
def test_samplers_for_few_steps_start_at_pure_noise(name: Scheduler, steps: int) -> None:
    scheduler, remarks = spaced(published.SDXL, name, steps)
    scheduler.set_timesteps(steps)
    assert float(scheduler.timesteps[0]) == 999
    assert remarks.collected == ()


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("steps", [4, 30])
def test_more_steps_keep_the_published_spacing(name: Scheduler | None, steps: int) -> None:
    scheduler, remarks = spaced(published.SDXL, name, steps)
    assert scheduler.config.timestep_spacing == "leading"
    assert remarks.collected == ()


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 25])
@pytest.mark.parametrize("name", SAMPLERS)
def test_every_number_of_steps_starts_close_to_noise(name: Scheduler | None, steps: int) -> None:
    scheduler, _ = spaced(published.SDXL, name, steps)
    scheduler.set_timesteps(steps)
    assert float(scheduler.timesteps[0]) >= 750


@pytest.mark.parametrize("name", [Scheduler.DDIM, Scheduler.EULER, Scheduler.EULER_ANCESTRAL, Scheduler.HEUN])
def test_one_step_with_linspace_spacing_starts_near_noise(name: Scheduler) -> None:
    scheduler, remarks = spaced("DPM++ with Karras' noise levels", name, 1)
    scheduler.set_timesteps(1)
    assert float(scheduler.timesteps[0]) >= 990
    assert "TimestepsReplaced" in [each.reason for each in remarks.collected]


@pytest.mark.parametrize(
    "model", [published.SVD, "playgroundai/playground-v2.5-1024px-aesthetic", "stabilityai/sdxl-turbo", "flow matching"]
)
@pytest.mark.parametrize("steps", [1, 2, 25])
def test_a_scheduler_that_starts_from_noise_is_unchanged(model: str, steps: int) -> None:
    current, remarks = published.scheduler(model), Remarks()
    assert ensure_starts_from_noise(current, steps, "images.steps", remarks) is current
    assert remarks.collected == ()


def test_one_step_is_refused_if_no_spacing_works() -> None:
    """With a single step, CosXL's exponential noise levels start at the lowest."""
    with pytest.raises(InvalidRunError, match=r"With images\.steps 1 the sampler EDMEulerScheduler .* Raise images\."):
        ensure_starts_from_noise(published.scheduler("stabilityai/cosxl"), 1, "images.steps", Remarks())


def test_a_rejected_number_of_steps_names_its_setting() -> None:
    current = type(published.scheduler(published.SDXL)).from_config({})
    lcm = diffusers.LCMScheduler.from_config(current.config, original_inference_steps=2000)
    with pytest.raises(InvalidRunError, match=r"^images\.steps is 60: .* Change images\.steps\."):
        ensure_starts_from_noise(lcm, 60, "images.steps", Remarks())


@pytest.mark.parametrize("name", [Scheduler.LCM, Scheduler.TCD])
def test_more_steps_than_a_few_step_sampler_has_are_refused_with_the_limit(name: Scheduler) -> None:
    with pytest.raises(InvalidRunError, match=r"^images\.steps is 51, and (LCM|TCD)Scheduler has at most 50 steps"):
        spaced(published.SDXL, name, 51)


def test_an_unknown_kind_of_noise_levels_is_refused() -> None:
    with pytest.raises(ModelIncompatibleError, match="IPNDMScheduler"):
        ensure_starts_from_noise(diffusers.IPNDMScheduler(), 30, "images.steps", Remarks())


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_image_of_one_step_is_not_noise(name: Scheduler | None) -> None:
    """With the shipped model, which is trained, and SDXL's spacing."""
    pipeline = load_pipeline(find_pretrained("darkroom-tiny-sdxl", SDXL, SHIPPED), torch.float32, torch.device("cpu"))
    current = type(pipeline.scheduler).from_config(
        pipeline.scheduler.config, timestep_spacing="leading", steps_offset=1
    )
    noise = torch.randn(1, 4, 16, 16, generator=generator(1))

    def correlation_with_noise(scheduler: Any) -> float:
        pipeline.scheduler = scheduler
        output = pipeline(
            "a red circle on a navy background",
            num_inference_steps=1,
            guidance_scale=1.0,
            latents=noise.clone(),
            generator=generator(1),
            output_type="latent",
        ).images
        return float(torch.corrcoef(torch.stack([output.flatten(), noise.flatten()]))[0, 1])

    sampler = build_sampler(current, name, 1, Remarks())

    assert abs(correlation_with_noise(ensure_starts_from_noise(sampler, 1, "images.steps", Remarks()))) < 0.35
    if name not in (Scheduler.DPM_PLUS_PLUS, Scheduler.UNIPC, *FEW_STEP):
        assert correlation_with_noise(sampler) > 0.8
