"""What a training is expected to do, before it has begun."""

from typing import Any

import pytest

from darkroom_contract.plan import (
    class_image_count,
    evaluation_work,
    plan_generation,
    plan_training,
    training_fraction,
)
from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec


def training(max_steps: int, **settings: Any) -> TrainJobSpec:
    needed = {"modelId": "m", "prompt": "sks", "dataset": {"uri": "s3://bucket/photos/"}, "maxSteps": max_steps}
    return TrainJobSpec.from_dict({**needed, "training": settings})


@pytest.mark.parametrize(("max_steps", "more", "count"), [(100, 1, 20), (3, 1, 12), (3, 2, 20), (2, 2, 16)])
def test_no_more_class_pictures_are_drawn_than_the_steps_can_show(max_steps: int, more: int, count: int) -> None:
    prior = {"classPrompt": "a shape", "classImages": 20}
    spec = training(max_steps, batchSize=4, gradientAccumulationSteps=more, priorPreservation=prior)
    assert class_image_count(spec) == count
    assert plan_training(spec)[Stage.DRAWING_CLASS_IMAGES] > 0


def test_none_are_drawn_unless_the_job_asks_for_them() -> None:
    assert class_image_count(training(100)) == 0
    assert Stage.DRAWING_CLASS_IMAGES not in plan_training(training(100))


def test_own_class_pictures_replace_the_generated_ones() -> None:
    prior = {"classPrompt": "a shape", "dataset": {"uri": "s3://bucket/shapes/"}}
    own, generated = training(100, priorPreservation=prior), training(100, priorPreservation={"classPrompt": "a shape"})

    assert class_image_count(own) == 0
    assert Stage.DRAWING_CLASS_IMAGES not in plan_training(own)
    assert plan_training(own)[Stage.TRAINING] == plan_training(generated)[Stage.TRAINING]


def test_class_images_of_further_concepts_are_part_of_the_plan() -> None:
    prior = {"classPrompt": "a shape", "classImages": 5}
    concept = {"prompt": "a photo of xyz", "dataset": {"uri": "s3://bucket/xyz/"}, "priorPreservation": prior}
    one = training(100, priorPreservation=prior)
    two = TrainJobSpec.from_dict({**one.to_dict(), "concepts": [concept]})

    assert plan_training(two)[Stage.DRAWING_CLASS_IMAGES] == 2 * plan_training(one)[Stage.DRAWING_CLASS_IMAGES]
    assert plan_training(two)[Stage.DOWNLOADING] > plan_training(one)[Stage.DOWNLOADING]


@pytest.mark.parametrize(
    ("settings", "stage"),
    [
        ({"validationPrompt": "p", "validationPrompts": ["q"]}, Stage.DENOISING),
        ({"validationPrompt": "p", "validationSteps": 10}, Stage.TRAINING),
        ({"heldOutPhotos": 2}, Stage.TRAINING),
        ({"priorPreservation": {"classPrompt": "a shape"}}, Stage.TRAINING),
    ],
    ids=["two prompts", "samples", "held-out loss", "prior preservation"],
)
def test_what_takes_time_makes_its_stage_longer(settings: dict[str, Any], stage: Stage) -> None:
    less = training(100, validationPrompt="p") if "validationPrompt" in settings else training(100)

    assert plan_training(training(100, **settings))[stage] > plan_training(less)[stage]


def test_samples_of_the_last_step_are_planned_once() -> None:
    once, twice = (training(100, validationPrompt="p", validationSteps=steps) for steps in (100, 50))
    assert plan_training(once)[Stage.TRAINING] == plan_training(training(100, validationPrompt="p"))[Stage.TRAINING]
    assert plan_training(twice)[Stage.TRAINING] - plan_training(once)[Stage.TRAINING] == pytest.approx(
        plan_training(once)[Stage.DENOISING]
    )


def test_the_work_between_steps_is_part_of_the_stage() -> None:
    """Ten steps of 3 passes, evaluations of 8 after 4, 8 and 10, and two samples of 60 each after 5."""
    spec = training(
        10, heldOutPhotos=2, evaluationSteps=4, validationPrompt="p", validationPrompts=["q"], validationSteps=5
    )
    assert plan_training(spec)[Stage.TRAINING] == 30 + 3 * evaluation_work(spec) + 120

    done = [
        training_fraction(spec, *each) * plan_training(spec)[Stage.TRAINING]
        for each in [(0, 0), (4, 0), (4, 5), (5, 0), (5, 60), (6, 0), (10, 0), (10, 8), (10, 999)]
    ]

    assert done == pytest.approx([0, 12, 17, 23, 83, 146, 166, 174, 174])


@pytest.mark.parametrize(("steps", "every", "allowed"), [(1000, 10, True), (1000, 9, False), (50, 1, True)])
def test_images_are_generated_at_most_a_hundred_times(steps: int, every: int, allowed: bool) -> None:
    contradiction = training(steps, validationPrompt="p", validationSteps=every).contradiction

    assert (contradiction is None) is allowed
    assert allowed or "training.validationSteps 9 generates images more than 100 times" in str(contradiction)


@pytest.mark.parametrize(
    ("fields", "is_planned"),
    [
        ({}, False),
        ({"allowMotion": True}, False),
        ({"modelId": "my-dog"}, True),
        ({"startImage": {"uri": "s3://bucket/a.png"}}, True),
        ({"allowMotion": True, "video": {"startImage": {"uri": "s3://bucket/a.png"}}}, True),
        ({"allowMotion": True, "images": {"count": 0}, "video": {"startImage": {"uri": "s3://bucket/a.png"}}}, True),
    ],
)
def test_a_generation_fetches_files_only_if_it_has_some(fields: dict[str, Any], is_planned: bool) -> None:
    plan = plan_generation(GenerateJobSpec.from_dict({"prompt": "a dog", **fields}))

    assert (Stage.DOWNLOADING in plan) is is_planned
