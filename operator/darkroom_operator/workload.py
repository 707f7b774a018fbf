"""How much work a job is, told from its spec alone. Pure; used by `experience.py` to compare one job with another.

The unit is roughly one pass of the U-Net over one picture, as in the runner's own plan of a run. It need not be right:
only jobs of the same shape are ever compared, so it has to be in proportion among those.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass

from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec

STARTUP = 30.0
"""Importing, downloading, loading and uploading; it keeps a run of few steps from looking like next to nothing."""
GUIDED = 2.0
"""Classifier-free guidance runs the U-Net on two inputs at every step."""
WITH_GRADIENT = 3.0
"""A backward pass costs about two forward passes."""
CLASS_IMAGE_STEPS = 25
VALIDATION_STEPS = 30
USUAL_FRAMES = 14


@dataclass(frozen=True, slots=True)
class Workload:
    """What a job asks of the GPU."""

    shape: Hashable
    """What has to be alike in two jobs for the speed of one to say anything of the other."""
    units: float

    @property
    def size_class(self) -> int:
        """Jobs of one class are alike in size, within a factor of two."""
        return round(math.log2(self.units))


def workload(spec: TrainJobSpec | GenerateJobSpec) -> Workload:
    return _training(spec) if isinstance(spec, TrainJobSpec) else _generation(spec)


def _training(spec: TrainJobSpec) -> Workload:
    training, prior = spec.training, spec.training.prior_preservation
    batch = training.batch_size * training.gradient_accumulation_steps * (1 if prior is None else 2)
    units = STARTUP + spec.max_steps * batch * WITH_GRADIENT
    if prior is not None:
        units += prior.class_images * CLASS_IMAGE_STEPS * GUIDED
    if training.validation_prompt is not None:
        units += VALIDATION_STEPS * GUIDED
    return Workload(("train", spec.base_model, training.resolution, training.train_text_encoders), units)


def _generation(spec: GenerateJobSpec) -> Workload:
    images, video = spec.images, spec.video
    units = images.count * images.steps * GUIDED
    if spec.allow_motion:
        units += video.steps * (video.frames or USUAL_FRAMES) * GUIDED
    motion = video.base_model if spec.allow_motion else None
    shape = ("generate", spec.base_model, images.width, images.height, spec.allow_motion, motion)
    return Workload(shape, STARTUP + units / spec.cache.effective_interval)
