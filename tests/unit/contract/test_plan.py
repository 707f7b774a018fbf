"""What a training is expected to do, before it has begun."""

from typing import Any

import pytest

from darkroom_contract.plan import class_image_count, plan_training
from darkroom_contract.progress import Stage
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
