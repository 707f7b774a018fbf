"""Settings that do nothing are remarked upon, each with what would make it count."""

from typing import Any

import pytest

from darkroom_contract.specs import GenerateJobSpec, TrainJobSpec
from darkroom_runner.ignored_settings import remark_on_generation, remark_on_training
from darkroom_runner.remarks import Remarks


def found(**spec: Any) -> list[tuple[str, str]]:
    remarks = Remarks()
    remark_on_generation(GenerateJobSpec.from_dict({"prompt": "a dog", **spec}), remarks)
    return [(each.reason, each.message) for each in remarks.found]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"negativePrompt": "blurry"},
        {"images": {"guidanceScale": 1.0}},
        {"modelId": "my-dog", "loraScale": 0.5},
        {"allowMotion": True, "video": {"fps": 12}},
        {"images": {"steps": 4}, "cache": {"profile": "Disabled"}},
        {"images": {"steps": 4}, "cache": {"interval": 1}},
        {"cache": {"profile": "Balanced", "interval": 4}},
        {"images": {"steps": 10}},
        {"images": {"steps": 1}},
        {"allowMotion": True, "video": {"steps": 1}},
        {"video": {}},
        {"cache": {"branch": 1}},
    ],
)
def test_settings_that_count_are_not_remarked_upon(spec: dict[str, Any]) -> None:
    assert found(**spec) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"negativePrompt": "blurry", "images": {"guidanceScale": 1.0}},
            "negativePrompt does nothing: images.guidanceScale 1 turns guidance off. Raise it above 1.",
        ),
        ({"loraScale": 0.5}, "loraScale does nothing without modelId."),
        ({"video": {"fps": 12}}, "video does nothing: allowMotion is false."),
        ({"cache": {"branch": 1, "profile": "Disabled"}}, "cache.branch does nothing: DeepCache is off."),
        (
            {"cache": {"profile": "Disabled", "interval": 4}},
            "cache.profile Disabled does nothing: cache.interval 4 takes",
        ),
    ],
)
def test_a_setting_that_does_nothing_is_remarked_upon(spec: dict[str, Any], words: str) -> None:
    [(reason, message)] = found(**spec)
    assert reason == "SettingIgnored"
    assert message.startswith(words)


def test_deepcache_at_fewer_than_ten_steps_is_remarked_upon_for_pictures_and_clips() -> None:
    pictures, clip = found(images={"steps": 9}, video={"steps": 4}, allowMotion=True)
    assert pictures[0] == clip[0] == "CacheIneffective"
    assert pictures[1].startswith("With images.steps 9, DeepCache at interval 3 saves little time")
    assert pictures[1].endswith("Set cache.profile to Disabled, or images.steps to 10 or more.")
    assert clip[1].startswith("With video.steps 4, DeepCache at interval 3 ")
    assert len(found(images={"steps": 9}, cache={"profile": "Quality"})) == 1


@pytest.mark.parametrize(("asked", "remarks"), [(2, 0), (20, 1)])
def test_class_pictures_that_no_step_shows_are_remarked_upon(asked: int, remarks: int) -> None:
    spec = {
        "modelId": "m",
        "prompt": "a photo of sks dog",
        "dataset": {"uri": "s3://bucket/photos/"},
        "maxSteps": 2,
        "training": {"priorPreservation": {"classPrompt": "a dog", "classImages": asked}},
    }
    collected = Remarks()
    remark_on_training(TrainJobSpec.from_dict(spec), collected)
    assert [each.reason for each in collected.found] == ["SettingIgnored"] * remarks
    assert all("2 class pictures are drawn, not 20" in each.message for each in collected.found)


@pytest.mark.parametrize(
    ("training", "told"),
    [
        (
            {"warmupSteps": 50},
            ["training.warmupSteps 50 leaves no step of 50 (maxSteps) at training.learningRate 0.0001"],
        ),
        ({"warmupSteps": 49}, []),
        (
            {"priorPreservation": {"classPrompt": "a dog", "weight": 0}},
            ["priorPreservation does nothing but take time: its weight is 0."],
        ),
        ({"priorPreservation": {"classPrompt": "a dog", "weight": 0.1}}, []),
    ],
)
def test_settings_of_a_training_that_undo_each_other_are_remarked_upon(
    training: dict[str, object], told: list[str]
) -> None:
    dataset = {"uri": "s3://bucket/photos/"}
    spec = {"modelId": "m", "prompt": "sks dog", "dataset": dataset, "maxSteps": 50, "training": training}
    collected = Remarks()
    remark_on_training(TrainJobSpec.from_dict(spec), collected)
    assert [each.reason for each in collected.found] == ["SettingIgnored"] * len(told)
    assert all(each.message.startswith(words) for each, words in zip(collected.found, told, strict=True))
