"""The amount of work of a job, estimated from its spec. Pure.

The runner derives progress percentages from it, the operator the duration of similar jobs. A plan has the work of each
stage, in order: one unit is roughly one pass of the U-Net over one image. The units need not be exact: they are
compared only within one run, or between jobs of the same shape."""

from collections.abc import Mapping

from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec

Plan = Mapping[Stage, float]

CLASS_IMAGE_STEPS = 25
CLASS_IMAGE_CACHE_INTERVAL = 3
"""DeepCache interval for class images."""
VALIDATION_STEPS = 30
VALIDATION_GUIDANCE_SCALE = 5.0

DOWNLOADING, LOADING, ENCODING, UPLOADING = 2.0, 20.0, 10.0, 4.0
"""Fixed stages, so that they count in a run of few steps."""
GUIDED = 2.0
"""Classifier-free guidance runs the U-Net on two inputs at every step."""
WITH_GRADIENT = 3.0
"""A backward pass costs about two forward passes."""
FRAMES = 14.0
"""Frames of a clip whose job sets no number."""


def class_image_count(spec: TrainJobSpec) -> int:
    """Number of class images to generate: what the job asks for, at most as many as its steps use."""
    training = spec.training
    if training.prior_preservation is None:
        return 0
    shown = spec.max_steps * training.batch_size * training.gradient_accumulation_steps
    return min(training.prior_preservation.class_images, shown)


def plan_training(spec: TrainJobSpec) -> Plan:
    training = spec.training
    prior = training.prior_preservation
    batch = training.batch_size * training.gradient_accumulation_steps * (1 if prior is None else 2)
    plan = {Stage.DOWNLOADING: DOWNLOADING, Stage.LOADING_MODEL: LOADING, Stage.ENCODING: ENCODING}
    if prior is not None:
        units = class_image_count(spec) * CLASS_IMAGE_STEPS * GUIDED
        plan[Stage.DRAWING_CLASS_IMAGES] = units / CLASS_IMAGE_CACHE_INTERVAL
    plan[Stage.TRAINING] = spec.max_steps * batch * WITH_GRADIENT
    if training.validation_prompt is not None:
        plan[Stage.DENOISING] = VALIDATION_STEPS * GUIDED
    return {**plan, Stage.UPLOADING: UPLOADING}


def plan_generation(spec: GenerateJobSpec) -> Plan:
    plan = {
        Stage.DOWNLOADING: DOWNLOADING,
        Stage.LOADING_MODEL: LOADING,
        Stage.DENOISING: spec.images.count * spec.images.steps * GUIDED / spec.cache.effective_interval,
    }
    if spec.allow_motion:
        frames = spec.video.frames or FRAMES
        plan[Stage.ANIMATING] = LOADING + spec.video.steps * frames * GUIDED / spec.cache.effective_interval
    return {**plan, Stage.UPLOADING: UPLOADING}
