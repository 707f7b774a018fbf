"""The amount of work of a job, estimated from its spec. Pure.

The runner derives progress percentages from it, the operator the duration of similar jobs. A plan has the work of each
stage, in order: one unit is roughly one pass of the U-Net over one image. The units need not be exact: they are
compared only within one run, or between jobs of the same shape."""

import math
from collections.abc import Mapping

from darkroom_contract.progress import Stage
from darkroom_contract.specs.cache import Cache
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import PriorPreservation

Plan = Mapping[Stage, float]

CLASS_IMAGE_STEPS = 25
CLASS_IMAGE_CACHE = Cache()
"""The U-Net cache for class images."""
VALIDATION_STEPS = 30
VALIDATION_GUIDANCE_SCALE = 5.0

DOWNLOADING, LOADING, ENCODING, UPLOADING = 2.0, 20.0, 10.0, 4.0
"""Fixed stages, so that they count in a run of few steps."""
GUIDED = 2.0
"""Classifier-free guidance runs the U-Net on two inputs at every step."""
SAMPLE = VALIDATION_STEPS * GUIDED
"""A validation or sample image."""
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
        plan[Stage.DRAWING_CLASS_IMAGES] = (
            class_images * CLASS_IMAGE_STEPS * GUIDED / CLASS_IMAGE_CACHE.expected_speedup
        )
    plan[Stage.TRAINING] = _training(spec, spec.max_steps) + _between_steps(spec, spec.max_steps)
    if training.prompts_to_validate:
        plan[Stage.DENOISING] = len(training.prompts_to_validate) * SAMPLE
    return {**plan, Stage.UPLOADING: UPLOADING}


def training_fraction(spec: TrainJobSpec, step: int, between: float = 0.0) -> float:
    """Part of the work of `Stage.TRAINING` that is done after a step, 0 to 1.

    `between` is the work since then: of the held-out loss and the sample images of that step.
    """
    earlier, whole = _between_steps(spec, max(step - 1, 0)), _between_steps(spec, step)
    done = _training(spec, step) + min(earlier + between, whole)
    return done / (_training(spec, spec.max_steps) + _between_steps(spec, spec.max_steps))


def evaluation_work(spec: TrainJobSpec) -> float:
    """Measuring the held-out loss once."""
    return spec.training.held_out_photos * EVALUATION_PASSES


def _training(spec: TrainJobSpec, step: int) -> float:
    """All steps up to one, without what is done between them."""
    batch = spec.training.batch_size * spec.training.gradient_accumulation_steps
    return step * batch * (2 if prior_preservations(spec) else 1) * WITH_GRADIENT


def _between_steps(spec: TrainJobSpec, step: int) -> float:
    """Evaluations and sample images up to a step, with its own.

    The held-out loss is measured at every interval and at the end. Samples of the last step are in `Stage.DENOISING`.
    """
    training, last = spec.training, spec.max_steps
    evaluations = -(-step // training.evaluation_steps) if step == last else step // training.evaluation_steps
    samples = min(step, last - 1) // training.validation_steps if training.validation_steps else 0
    return evaluations * evaluation_work(spec) + samples * len(training.prompts_to_validate) * SAMPLE


def denoising_steps(steps: int, strength: float) -> int:
    """Steps that image to image runs: the part of `steps` that `strength` gives, rounded down, and at least one."""
    # Without the margin 50 steps at 0.58 would be 28: 50 * 0.58 is 28.999999999999996.
    return max(1, math.floor(steps * strength + 1e-6))


def image_steps(spec: GenerateJobSpec) -> tuple[int, int]:
    """Denoising steps of one image: of the first pass, and of the upscaling pass (0 without it)."""
    images, start, upscale = spec.images, spec.start_image, spec.upscale
    first = images.steps if start is None else denoising_steps(images.steps, start.strength)
    second = 0 if upscale is None else denoising_steps(upscale.steps or images.steps, upscale.strength)
    return first, second


def _image_passes(spec: GenerateJobSpec) -> float:
    """Work of one image without a cache. A step of the upscaling pass costs more, by the number of pixels."""
    first, second = image_steps(spec)
    return (first + second * (spec.upscale.factor**2 if spec.upscale else 0.0)) * GUIDED


def _has_input_files(spec: GenerateJobSpec) -> bool:
    """Whether a generation reads LoRAs or pictures from object storage. Base models are part of `LOADING_MODEL`."""
    of_images = spec.used_loras or spec.start_image or spec.mask
    return bool((spec.images.count and of_images) or (spec.allow_motion and spec.video.start_image))


def plan_generation(spec: GenerateJobSpec) -> Plan:
    """The stages of a generation. A job without images only loads the video model, which is part of `ANIMATING`."""
    plan: dict[Stage, float] = {Stage.DOWNLOADING: DOWNLOADING} if _has_input_files(spec) else {}
    if spec.images.count:
        plan |= {
            Stage.LOADING_MODEL: LOADING,
            Stage.DENOISING: spec.images.count * _image_passes(spec) / spec.cache.expected_speedup,
        }
    if spec.allow_motion:
        frames = spec.video.frames or FRAMES
        plan[Stage.ANIMATING] = LOADING + spec.video.steps * frames * GUIDED / spec.cache.expected_speedup
    return {**plan, Stage.UPLOADING: UPLOADING}
