"""Which jobs have comparable speed, and how much work each one is. Pure; used by `runtime_history.py`."""

import math
from collections.abc import Hashable
from dataclasses import dataclass

from darkroom_contract.plan import plan_generation, plan_training
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec


@dataclass(frozen=True, slots=True)
class Workload:
    """What a job demands of the GPU."""

    shape: Hashable
    """Jobs of the same shape take the same time for a unit of work."""
    units: float
    """The amount of work, in the units of `darkroom_contract.plan`."""

    @property
    def size_class(self) -> int:
        """Jobs of one class differ in size by at most a factor of two."""
        return round(math.log2(self.units))


def workload(spec: TrainJobSpec | GenerateJobSpec) -> Workload:
    if isinstance(spec, TrainJobSpec):
        training = spec.training
        precision = (training.quantization, training.memory)
        layers = (training.layers, training.dora, training.train_text_encoders)
        shape = ("train", spec.base_model, training.resolution, *layers, *precision)
        return Workload(shape, sum(plan_training(spec).values()))
    images, motion = spec.images, spec.video.base_model if spec.allow_motion else None
    key = ("generate", spec.base_model, images.width, images.height, spec.allow_motion, motion)
    return Workload(key, sum(plan_generation(spec).values()))
