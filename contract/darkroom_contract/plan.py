"""The amount of work of a job, estimated from its spec. Pure.

The runner derives progress percentages from it, the operator the duration of similar jobs. A plan has the work of each
stage, in order: one unit is roughly one pass of the U-Net over one image. The units need not be exact: they are
compared only within one run, or between jobs of the same shape."""

from collections.abc import Mapping

from darkroom_contract.progress import Stage
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import PriorPreservation

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
EVALUATION_PASSES = 4.0
"""Passes of the U-Net over each held-out photo."""
WITH_GRADIENT = 3.0
"""A backward pass costs about two forward passes."""
FRAMES = 14.0
"""Frames of a clip whose job sets no number."""


def class_image_count(spec: TrainJobSpec, prior: PriorPreservation | None = None) -> int:
    """Number of class images to generate for `prior`, by default the main subject's: what it asks for, at most as many
    as the steps use. 0 with pictures of the job's own."""
    prior = prior or spec.training.prior_preservation
    if prior is None or prior.dataset is not None:
        return 0
    shown = spec.max_steps * spec.training.batch_size * spec.training.gradient_accumulation_steps
    return min(prior.class_images, shown)


def prior_preservations(spec: TrainJobSpec) -> tuple[PriorPreservation, ...]:
    """Of all subjects, the main one first."""
    found = (spec.training.prior_preservation, *(each.prior_preservation for each in spec.concepts))
    return tuple(each for each in found if each is not None)


def plan_training(spec: TrainJobSpec) -> Plan:
    training, priors = spec.training, prior_preservations(spec)
    datasets = len(spec.datasets)
    plan = {
        Stage.DOWNLOADING: DOWNLOADING * datasets,
        Stage.LOADING_MODEL: LOADING,
        Stage.ENCODING: ENCODING * datasets,
    }
    if class_images := sum(class_image_count(spec, prior) for prior in priors):
        plan[Stage.DRAWING_CLASS_IMAGES] = class_images * CLASS_IMAGE_STEPS * GUIDED / CLASS_IMAGE_CACHE_INTERVAL
    batch = training.batch_size * training.gradient_accumulation_steps * (2 if priors else 1)
    plan[Stage.TRAINING] = spec.max_steps * batch * WITH_GRADIENT + _evaluations(spec) + _samples(spec)
    if training.prompts_to_validate:
        plan[Stage.DENOISING] = len(training.prompts_to_validate) * VALIDATION_STEPS * GUIDED
    return {**plan, Stage.UPLOADING: UPLOADING}


def _evaluations(spec: TrainJobSpec) -> float:
    """Measuring the held-out loss: at every interval, and at the end."""
    training = spec.training
    times = -(-spec.max_steps // training.evaluation_steps)
    return times * training.held_out_photos * EVALUATION_PASSES


def _samples(spec: TrainJobSpec) -> float:
    """Sample images during the training. Those of its last step are in `Stage.DENOISING`."""
    training = spec.training
    times = (spec.max_steps - 1) // training.validation_steps if training.validation_steps else 0
    return times * len(training.prompts_to_validate) * VALIDATION_STEPS * GUIDED


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
