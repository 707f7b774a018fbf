"""The planned work and the steps of a generation."""

from typing import Any

import pytest

from darkroom_contract.plan import denoising_steps, image_steps, plan_generation
from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec

START = {"uri": "s3://bucket/images/default/dog.png"}


def generation(**spec: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", "cache": {"profile": "Disabled"}, **spec})


@pytest.mark.parametrize(
    ("steps", "strength", "run"), [(30, 0.6, 18), (50, 0.58, 29), (30, 1.0, 30), (4, 0.1, 1), (1, 0.05, 1), (7, 0.5, 3)]
)
def test_strength_is_the_part_of_the_steps_that_is_run(steps: int, strength: float, run: int) -> None:
    assert denoising_steps(steps, strength) == run


@pytest.mark.parametrize(
    ("spec", "steps"),
    [
        ({}, (30, 0)),
        ({"startImage": START}, (18, 0)),
        ({"upscale": {}}, (30, 10)),
        ({"upscale": {"steps": 20, "strength": 0.5}, "images": {"steps": 8}}, (8, 10)),
        ({"startImage": {**START, "strength": 0.5}, "upscale": {"strength": 0.1}}, (15, 3)),
    ],
)
def test_an_image_has_the_steps_of_both_passes(spec: dict[str, Any], steps: tuple[int, int]) -> None:
    assert image_steps(generation(**spec)) == steps


def test_the_plan_follows_strength_and_the_size_of_the_upscaling_pass() -> None:
    def work(**spec: Any) -> float:
        return plan_generation(generation(**spec))[Stage.DENOISING]

    assert work(startImage={**START, "strength": 0.5}) == work() / 2
    small, large = (work(upscale={"factor": factor, "strength": 0.5}) - work() for factor in (1.5, 2.0))
    assert small == pytest.approx(work() / 2 * 1.5**2)
    assert large == pytest.approx(work() / 2 * 2.0**2)
    assert work(images={"count": 3}) == 3 * work()
