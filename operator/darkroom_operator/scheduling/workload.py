"""Which jobs are alike, and how much work each is. Pure; used by `experience.py` to compare one job with another."""

import math
from collections.abc import Hashable
from dataclasses import dataclass

from darkroom_contract.plan import plan_generation, plan_training
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec


@dataclass(frozen=True, slots=True)
class Workload:
    """What a job asks of the GPU."""

    shape: Hashable
    """What has to be alike in two jobs for the speed of one to say anything of the other."""
    units: float
    """Of `darkroom_contract.plan`."""

    @property
    def size_class(self) -> int:
        """Jobs of one class are alike in size, within a factor of two."""
        return round(math.log2(self.units))


def workload(spec: TrainJobSpec | GenerateJobSpec) -> Workload:
    if isinstance(spec, TrainJobSpec):
        training = spec.training
        shape = ("train", spec.base_model, training.resolution, training.train_text_encoders)
        return Workload(shape, sum(plan_training(spec).values()))
    images, motion = spec.images, spec.video.base_model if spec.allow_motion else None
    drawing = ("generate", spec.base_model, images.width, images.height, spec.allow_motion, motion)
    return Workload(drawing, sum(plan_generation(spec).values()))
