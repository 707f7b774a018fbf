"""The amount of work of a job: only proportions matter, and only among jobs of one shape."""

from typing import Any

import pytest
from support.operator_snapshots import a_job, a_training

from darkroom_contract.plan import DOWNLOADING, ENCODING, LOADING, UPLOADING
from darkroom_operator.scheduling.workload import workload


def units(**spec: Any) -> float:
    return workload(a_job(**spec).spec).units - (LOADING + UPLOADING)


def learning(**spec: Any) -> float:
    return workload(a_training(**spec).spec).units - (DOWNLOADING + LOADING + ENCODING + UPLOADING)


def test_twice_the_steps_or_images_is_twice_the_work() -> None:
    assert units(images={"steps": 20}) == pytest.approx(2 * units(images={"steps": 10}))
    assert units(images={"steps": 10, "count": 2}) == pytest.approx(2 * units(images={"steps": 10}))
    assert learning(maxSteps=200) == 2 * learning(maxSteps=100)
    assert learning(maxSteps=100, training={"batchSize": 2}) == 2 * learning(maxSteps=100)


@pytest.mark.parametrize(
    "more",
    [
        {"training": {"validationPrompt": "a star"}},
        {"training": {"priorPreservation": {"classPrompt": "a star", "classImages": 5}}},
        {"training": {"gradientAccumulationSteps": 4}},
    ],
)
def test_other_parts_of_a_training_count_as_work(more: dict[str, Any]) -> None:
    assert learning(**more) > learning()


def test_a_cache_saves_work_and_a_clip_adds_some() -> None:
    assert units(cache={"interval": 3}) < units(cache={"interval": 1})
    assert units(allow_motion=True) > units()


def test_jobs_with_incomparable_speeds_have_different_shapes() -> None:
    jobs = [
        a_training(),
        a_training(baseModel="other"),
        a_training(training={"resolution": 512}),
        a_job(),
        a_job(base_model="other"),
        a_job(allow_motion=True),
        a_job(images={"width": 512, "height": 512}),
    ]
    assert len({workload(job.spec).shape for job in jobs}) == len(jobs)


def test_prompt_and_seed_change_nothing() -> None:
    assert workload(a_job().spec) == workload(a_job(prompt="something else", images={"seed": 7}).spec)


def test_sizes_within_a_factor_of_two_are_in_the_same_or_neighbouring_classes() -> None:
    half, whole = workload(a_job(images={"steps": 50}).spec), workload(a_job(images={"steps": 100}).spec)
    assert whole.size_class - half.size_class in (0, 1)
