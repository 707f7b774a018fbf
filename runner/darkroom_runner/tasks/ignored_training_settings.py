"""Adds remarks for settings of a training that have no effect, or are unlikely to do what was meant.

Called by the train task. A setting without effect gets a remark only if it differs from its default.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from darkroom_contract.plan import class_image_count
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import PriorPreservation, Training
from darkroom_contract.specs.training_choices import Optimizer
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.training.dataset import Photo

_LEAST_PRODIGY_RATE = 0.1


def remark_on_training(spec: TrainJobSpec, remarks: Remarks) -> None:
    """Add the remarks `SettingIgnored` and `SettingUnsuitable` that follow from the spec alone."""
    for message in (*_ignored_learning(spec), *_ignored_outputs(spec), *_ignored_texts(spec), *_ignored_priors(spec)):
        remarks.add(RemarkReason.SETTING_IGNORED, message)
    for message in _unsuitable(spec.training):
        remarks.add(RemarkReason.SETTING_UNSUITABLE, message)


def remark_on_base_model(training: Training, scheduler_config: Any, remarks: Remarks) -> None:
    """Add the remark `SettingUnsuitable` for settings that do not suit the base model."""
    predicts_v = scheduler_config.get("prediction_type") == "v_prediction"
    if training.noise_offset and predicts_v and scheduler_config.get("rescale_betas_zero_snr"):
        remarks.add(
            RemarkReason.SETTING_UNSUITABLE,
            f"training.noiseOffset {training.noise_offset:g} does not suit the base model, which predicts v down to a "
            "signal-to-noise ratio of zero: it learns dark and bright pictures without it. Omit noiseOffset.",
        )


def remark_on_texts(training: Training, texts: Iterable[str], remarks: Remarks) -> None:
    """Add the remark `SettingIgnored` if no text of the photos has tags to shuffle."""
    if training.shuffle_tags and not any(text.count(",") > training.keep_tags for text in texts):
        remarks.add(
            RemarkReason.SETTING_IGNORED,
            f"training.shuffleTags has no effect: no caption or prompt has two or more tags, separated by commas, "
            f"behind the first {training.keep_tags} (training.keepTags). Write captions as tags, or omit shuffleTags.",
        )


def remark_on_masks(training: Training, photos: Iterable[Photo], remarks: Remarks) -> None:
    """Add the remark `SettingIgnored` if a masked loss has no masks."""
    if training.masked_loss is not None and not any(photo.has_mask for photo in photos):
        remarks.add(
            RemarkReason.SETTING_IGNORED,
            "training.maskedLoss has no effect: no photo has a mask or transparent areas. Put photo.mask.png, white "
            "where photo.jpg is learned, beside it, or omit maskedLoss.",
        )


def _ignored_learning(spec: TrainJobSpec) -> Iterator[str]:
    training = spec.training
    if training.warmup_steps >= spec.max_steps:
        yield (
            f"training.learningRate {training.peak_learning_rate:g} is never reached: training.warmupSteps "
            f"{training.warmup_steps} is not less than maxSteps {spec.max_steps}. Lower warmupSteps or raise maxSteps."
        )
    if training.train_text_encoders and training.text_encoder_learning_rate == 0:
        yield (
            "training.trainTextEncoders only takes time and memory: training.textEncoderLearningRate is 0. Raise it, "
            "or omit both."
        )
    if training.ema_decay == 0:
        yield "training.emaDecay 0 has no effect: it averages only the last state. Set it to 0.99 or more, or omit it."
    if spec.repeats > 1 and not spec.concepts:
        yield f"repeats {spec.repeats} has no effect: there are no concepts beside dataset. Omit it."


def _ignored_outputs(spec: TrainJobSpec) -> Iterator[str]:
    training = spec.training
    if training.validation_steps and not training.prompts_to_validate:
        yield (
            f"training.validationSteps {training.validation_steps} has no effect without a prompt. Set "
            "training.validationPrompt or training.validationPrompts."
        )
    for field, interval in {"validationSteps": training.validation_steps, "saveSteps": training.save_steps}.items():
        if interval > spec.max_steps:
            yield (
                f"training.{field} {interval} has no effect: maxSteps {spec.max_steps} is less. Lower it, or omit it."
            )
    if training.evaluation_steps != _default("evaluation_steps") and not training.held_out_photos:
        yield (
            f"training.evaluationSteps {training.evaluation_steps} has no effect: no photos are held out. Set "
            "training.heldOutPhotos."
        )


def _ignored_texts(spec: TrainJobSpec) -> Iterator[str]:
    training = spec.training
    if training.keep_tags != _default("keep_tags") and not training.shuffle_tags:
        yield f"training.keepTags {training.keep_tags} has no effect without training.shuffleTags. Set that to true."


def _ignored_priors(spec: TrainJobSpec) -> Iterator[str]:
    paths = {"priorPreservation": spec.training.prior_preservation} | {
        f"concepts[{index}].priorPreservation": each.prior_preservation for index, each in enumerate(spec.concepts)
    }
    for path, prior in paths.items():
        if prior is None:
            continue
        if prior.weight == 0:
            yield f"{path} only takes time: its weight is 0. Raise {path}.weight, or omit {path}."
        used = class_image_count(spec, prior)
        if prior.dataset is None and used < prior.class_images:
            yield (
                f"{used} class images are generated, not {prior.class_images} ({path}.classImages): the training uses "
                f"no more than that in {spec.max_steps} steps."
            )
        default = PriorPreservation.model_fields["class_images"].default
        if prior.dataset is not None and prior.class_images != default:
            yield f"{path}.classImages {prior.class_images} has no effect: the pictures of {path}.dataset are used."


def _unsuitable(training: Training) -> Iterator[str]:
    rate = training.learning_rate
    if training.optimizer is Optimizer.PRODIGY and rate is not None and rate < _LEAST_PRODIGY_RATE:
        yield (
            f"training.learningRate {rate:g} slows Prodigy down: it finds the learning rate by itself and multiplies "
            "it by this one. Omit learningRate, which is 1 with Prodigy."
        )


def _default(field: str) -> Any:
    return Training.model_fields[field].default
