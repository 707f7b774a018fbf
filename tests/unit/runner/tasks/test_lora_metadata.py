"""Metadata of a LoRA file: the settings that made it, and nothing that differs between equal trainings."""

import json
from typing import Any

import pytest

from darkroom_contract.base_models import UsedModel
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.tasks.output_metadata import lora_metadata

DATASET = {"uri": "s3://darkroom/datasets/default/3f9a/"}


def metadata_of(training: dict[str, Any], **spec: Any) -> dict[str, str]:
    document = {"modelId": "my-dog", "prompt": "a photo of sks dog", "dataset": DATASET, "training": training, **spec}
    return lora_metadata(TrainJobSpec.from_dict(document), UsedModel(reference="owner/base", commit=None))


def test_defaults_give_the_main_settings_only() -> None:
    metadata = metadata_of({})
    metadata.pop("darkroom.versions")
    assert metadata == {
        "darkroom.prompt": "a photo of sks dog",
        "darkroom.modelId": "my-dog",
        "darkroom.baseModel": "owner/base",
        "darkroom.rank": "16",
        "darkroom.alpha": "16",
        "darkroom.layers": "Attention",
        "darkroom.trainTextEncoders": "False",
        "darkroom.learningRate": "0.0001",
        "darkroom.steps": "500",
        "darkroom.seed": "0",
    }


@pytest.mark.parametrize(
    ("setting", "value", "entry"),
    [
        ("dora", True, "True"),
        ("loraDropout", 0.1, "0.1"),
        ("optimizer", "Prodigy", "Prodigy"),
        ("textEncoderLearningRate", 1e-5, "1e-05"),
        ("noiseOffset", 0.05, "0.05"),
        ("captionDropout", 0.1, "0.1"),
        ("emaDecay", 0.99, "0.99"),
        ("cropping", "Square", "Square"),
        ("quantization", "NF4", "NF4"),
        ("filePrecision", "BFloat16", "BFloat16"),
        ("initialLora", {"modelId": "my-dog@200"}, '{"modelId": "my-dog@200"}'),
        ("initialLora", {"uri": "s3://private/people/dog.safetensors"}, '{"uri": "dog.safetensors"}'),
        ("maskedLoss", {"unmaskedWeight": 0.3}, '{"unmaskedWeight": 0.3}'),
        ("validationPrompts", ["ein Hund im Grünen"], '["ein Hund im Grünen"]'),
    ],
)
def test_a_setting_that_differs_from_its_default_is_in_the_header(setting: str, value: Any, entry: str) -> None:
    assert metadata_of({setting: value})[f"darkroom.{setting}"] == entry
    assert f"darkroom.{setting}" not in metadata_of({})


def test_prodigys_own_learning_rate_is_in_the_header() -> None:
    assert metadata_of({"optimizer": "Prodigy"})["darkroom.learningRate"] == "1.0"


def test_folders_of_photos_are_not_in_the_header() -> None:
    """They have other names in every upload: equal trainings would give different files."""
    prior = {"classPrompt": "a photo of a dog", "dataset": DATASET}
    concept = {"prompt": "a photo of xyz cat", "dataset": DATASET, "repeats": 3, "priorPreservation": prior}

    metadata = metadata_of({"priorPreservation": prior}, concepts=[concept], repeats=2)

    assert not [text for text in metadata.values() if "datasets/" in text]
    expected = {"classPrompt": "a photo of a dog", "classImages": 20, "dataset": True, "weight": 1.0}
    assert json.loads(metadata["darkroom.priorPreservation"]) == expected
    assert json.loads(metadata["darkroom.concepts"]) == [
        {"prompt": "a photo of xyz cat", "dataset": True, "repeats": 3, "priorPreservation": expected}
    ]
    assert metadata["darkroom.repeats"] == "2"
