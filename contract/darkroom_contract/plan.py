"""How much work a job is, told from its spec alone. Pure.

The runner tells by it how far a run is, the operator how long jobs like it should take. A plan gives every stage its
share in units of work, in the order in which a run enters them: one unit is roughly one pass of the U-Net over one
picture. The shares need not be right: they are compared only within one run, or between jobs of one shape.
"""

from collections.abc import Mapping

from darkroom_contract.progress import Stage
from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec

Plan = Mapping[Stage, float]

CLASS_IMAGE_STEPS = 25
CLASS_IMAGE_CACHE_INTERVAL = 3
"""Of DeepCache, with which they are drawn."""
VALIDATION_STEPS = 30
VALIDATION_GUIDANCE_SCALE = 5.0

DOWNLOADING, LOADING, ENCODING, UPLOADING = 2.0, 20.0, 10.0, 4.0
"""They keep a run of few steps from looking like next to nothing."""
GUIDED = 2.0
"""Classifier-free guidance runs the U-Net on two inputs at every step."""
WITH_GRADIENT = 3.0
"""A backward pass costs about two forward passes."""
FRAMES = 14.0
"""Of a clip whose job names no number."""


def class_image_count(spec: TrainJobSpec) -> int:
    """How many class pictures are drawn: as many as the job asks for, but none that its steps can't show."""
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
        drawn = class_image_count(spec) * CLASS_IMAGE_STEPS * GUIDED
        plan[Stage.DRAWING_CLASS_IMAGES] = drawn / CLASS_IMAGE_CACHE_INTERVAL
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
