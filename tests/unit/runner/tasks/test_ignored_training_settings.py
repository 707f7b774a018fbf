"""Settings of a training without effect, or with an unlikely one, add a remark that says how to change that."""

from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.photos.errors import PhotoProperties
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import MaskedLoss, Training
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.tasks.ignored_training_settings import (
    remark_on_base_model,
    remark_on_masks,
    remark_on_texts,
    remark_on_training,
)
from darkroom_runner.training.dataset import Photo

ZERO_SNR = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
PRIOR = {"classPrompt": "a dog", "dataset": {"uri": "s3://bucket/dogs/"}}


def remarks_on(training: dict[str, Any], **spec: Any) -> list[tuple[str, str]]:
    remarks = Remarks()
    needed = {"modelId": "m", "prompt": "sks dog", "dataset": {"uri": "s3://bucket/photos/"}, "maxSteps": 50}
    remark_on_training(TrainJobSpec.from_dict({**needed, **spec, "training": training}), remarks)
    return [(each.reason, each.message) for each in remarks.collected]


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"warmupSteps": 49},
        {"priorPreservation": {"classPrompt": "a dog", "weight": 0.1}},
        {"priorPreservation": PRIOR},
        {"optimizer": "Prodigy"},
        {"optimizer": "Prodigy", "learningRate": 0.5},
        {"trainTextEncoders": True, "textEncoderLearningRate": 1e-5},
        {"validationSteps": 10, "validationPrompts": ["a dog"]},
        {"saveSteps": 50},
        {"heldOutPhotos": 1, "evaluationSteps": 10},
        {"shuffleTags": True, "keepTags": 3},
        {"emaDecay": 0.99},
    ],
)
def test_settings_with_an_effect_add_no_remark(training: dict[str, Any]) -> None:
    assert remarks_on(training) == []


@pytest.mark.parametrize(
    ("training", "words"),
    [
        (
            {"warmupSteps": 50},
            "training.learningRate 0.0001 is never reached: training.warmupSteps 50 is not less than maxSteps 50.",
        ),
        (
            {"priorPreservation": {"classPrompt": "a dog", "weight": 0}},
            "priorPreservation only takes time: its weight is 0.",
        ),
        (
            {"priorPreservation": {**PRIOR, "classImages": 7}},
            "priorPreservation.classImages 7 has no effect: the pictures of priorPreservation.dataset are used.",
        ),
        (
            {"trainTextEncoders": True, "textEncoderLearningRate": 0},
            "training.trainTextEncoders only takes time and memory: training.textEncoderLearningRate is 0.",
        ),
        ({"validationSteps": 10}, "training.validationSteps 10 has no effect without a prompt."),
        (
            {"validationSteps": 51, "validationPrompt": "a dog"},
            "training.validationSteps 51 has no effect: maxSteps 50 is less.",
        ),
        ({"saveSteps": 51}, "training.saveSteps 51 has no effect: maxSteps 50 is less."),
        ({"evaluationSteps": 10}, "training.evaluationSteps 10 has no effect: no photos are held out."),
        ({"keepTags": 3}, "training.keepTags 3 has no effect without training.shuffleTags."),
        ({"emaDecay": 0}, "training.emaDecay 0 has no effect"),
    ],
)
def test_a_setting_without_effect_adds_a_remark(training: dict[str, Any], words: str) -> None:
    [(reason, message)] = remarks_on(training)

    assert reason == "SettingIgnored"
    assert message.startswith(words)


def test_repeats_need_a_second_concept() -> None:
    concept = {"prompt": "xyz cat", "dataset": {"uri": "s3://bucket/cats/"}}

    [(reason, message)] = remarks_on({}, repeats=3)

    assert (reason, message[:24]) == ("SettingIgnored", "repeats 3 has no effect:")
    assert remarks_on({}, repeats=3, concepts=[concept]) == []


def test_prior_preservation_of_a_concept_is_named_by_its_path() -> None:
    prior = {"classPrompt": "a cat", "weight": 0}
    concept = {"prompt": "xyz cat", "dataset": {"uri": "s3://bucket/cats/"}, "priorPreservation": prior}

    [(_, message)] = remarks_on({}, concepts=[concept])

    assert message.startswith("concepts[0].priorPreservation only takes time")


def test_a_low_learning_rate_of_prodigy_is_unsuitable() -> None:
    [(reason, message)] = remarks_on({"optimizer": "Prodigy", "learningRate": 1e-4})

    assert reason == "SettingUnsuitable"
    assert message.startswith("training.learningRate 0.0001 slows Prodigy down")


@pytest.mark.parametrize(
    ("offset", "config", "count"),
    [
        (0.1, ZERO_SNR, 1),
        (0.0, ZERO_SNR, 0),
        (0.1, {"prediction_type": "epsilon"}, 0),
        (0.1, {**ZERO_SNR, "rescale_betas_zero_snr": False}, 0),
    ],
)
def test_noise_offset_is_unsuitable_for_zero_snr_models(offset: float, config: dict[str, Any], count: int) -> None:
    remarks = Remarks()

    remark_on_base_model(Training(noise_offset=offset), config, remarks)

    assert [each.reason for each in remarks.collected] == ["SettingUnsuitable"] * count


@pytest.mark.parametrize(
    ("texts", "keep", "count"),
    [
        (["sks dog", "sks, dog"], 1, 1),
        (["sks dog", "sks, dog, grass"], 1, 0),
        (["sks, dog, grass"], 2, 1),
        (["sks, dog"], 0, 0),
    ],
)
def test_shuffling_needs_two_tags_to_exchange(texts: list[str], keep: int, count: int) -> None:
    remarks = Remarks()

    remark_on_texts(Training(shuffle_tags=True, keep_tags=keep), texts, remarks)

    assert [each.reason for each in remarks.collected] == ["SettingIgnored"] * count


@pytest.mark.parametrize(
    ("masked", "mask", "transparent", "count"),
    [(True, False, False, 1), (True, True, False, 0), (True, False, True, 0), (False, False, False, 0)],
    ids=["no masks", "mask", "transparency", "no masked loss"],
)
def test_a_masked_loss_needs_masks(masked: bool, mask: bool, transparent: bool, count: int) -> None:
    properties = PhotoProperties("png", (64, 64), transparent=transparent)
    photos = [
        Photo("a.png", Path("a"), PhotoProperties("png", (64, 64))),
        Photo("b.png", Path("b"), properties, mask=Path("b.mask") if mask else None),
    ]
    remarks = Remarks()

    remark_on_masks(Training(masked_loss=MaskedLoss() if masked else None), photos, remarks)

    assert [each.reason for each in remarks.collected] == ["SettingIgnored"] * count
    assert all("Put photo.mask.png, white where photo.jpg is learned" in each.message for each in remarks.collected)


@pytest.mark.parametrize(("asked", "count"), [(2, 0), (20, 1)])
def test_unused_class_images_add_a_remark(asked: int, count: int) -> None:
    spec = {
        "modelId": "m",
        "prompt": "a photo of sks dog",
        "dataset": {"uri": "s3://bucket/photos/"},
        "maxSteps": 2,
        "training": {"priorPreservation": {"classPrompt": "a dog", "classImages": asked}},
    }
    remarks = Remarks()
    remark_on_training(TrainJobSpec.from_dict(spec), remarks)
    assert [each.reason for each in remarks.collected] == ["SettingIgnored"] * count
    assert all("2 class images are generated, not 20" in each.message for each in remarks.collected)
