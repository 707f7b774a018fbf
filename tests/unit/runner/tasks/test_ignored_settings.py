"""Settings without effect add a remark that says how to change that."""

from typing import Any

import pytest

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.tasks.ignored_settings import remark_on_generation


def remarks_on(**spec: Any) -> list[tuple[str, str]]:
    remarks = Remarks()
    remark_on_generation(GenerateJobSpec.from_dict({"prompt": "a dog", **spec}), remarks)
    return [(each.reason, each.message) for each in remarks.collected]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"negativePrompt": "blurry"},
        {"images": {"guidanceScale": 1.0}},
        {"modelId": "my-dog", "loraScale": 0.5},
        {"loras": [{"modelId": "my-dog", "scale": 0.5}]},
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
def test_settings_with_an_effect_add_no_remark(spec: dict[str, Any]) -> None:
    assert remarks_on(**spec) == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"negativePrompt": "blurry", "images": {"guidanceScale": 1.0}},
            "negativePrompt has no effect: images.guidanceScale 1 turns guidance off. Raise it above 1.",
        ),
        ({"loraScale": 0.5}, "loraScale has no effect without modelId. Set modelId to the LoRA to use."),
        (
            {"loraScale": 0.5, "loras": [{"modelId": "my-dog"}]},
            "loraScale has no effect without modelId. Set the scale of each of loras.",
        ),
        ({"video": {"fps": 12}}, "video has no effect: allowMotion is false."),
        ({"cache": {"branch": 1, "profile": "Disabled"}}, "cache.branch has no effect: DeepCache is off."),
        (
            {"cache": {"profile": "Disabled", "interval": 4}},
            "cache.profile Disabled has no effect: cache.interval 4 overrides",
        ),
    ],
)
def test_a_setting_without_effect_adds_a_remark(spec: dict[str, Any], words: str) -> None:
    [(reason, message)] = remarks_on(**spec)
    assert reason == "SettingIgnored"
    assert message.startswith(words)


def test_deepcache_below_ten_steps_adds_a_remark_for_images_and_clips() -> None:
    images, clip = remarks_on(images={"steps": 9}, video={"steps": 4}, allowMotion=True)
    assert images[0] == clip[0] == "CacheIneffective"
    assert images[1].startswith("With images.steps 9, DeepCache at interval 3 saves little time")
    assert images[1].endswith("Set cache.profile to Disabled, or images.steps to 10 or more.")
    assert clip[1].startswith("With video.steps 4, DeepCache at interval 3 ")
    assert len(remarks_on(images={"steps": 9}, cache={"profile": "Quality"})) == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"images": {"quality": 50}}, "images.quality has no effect: PNG is lossless"),
        ({"images": {"grid": True}}, "images.grid has no effect: images.count is 1"),
        (
            {
                "images": {"count": 0, "steps": 12, "clipSkip": 1},
                "upscale": {},
                "allowMotion": True,
                "video": {"startImage": {"uri": "s3://darkroom/images/default/x/image.png"}},
            },
            "images.steps, images.clipSkip, upscale has no effect: images.count is 0",
        ),
    ],
)
def test_settings_of_files_and_missing_images_without_effect_are_remarked(spec: dict[str, Any], words: str) -> None:
    [message] = [message for reason, message in remarks_on(**spec) if reason == "SettingIgnored"]

    assert message.startswith(words)


@pytest.mark.parametrize(
    "images", [{"format": "WebP", "quality": 50}, {"count": 2, "grid": True}, {"quality": 90}, {"previewSteps": 3}]
)
def test_effective_settings_of_files_are_not_remarked(images: dict[str, Any]) -> None:
    assert remarks_on(images=images) == []
