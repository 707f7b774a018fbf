"""What the page says of how a picture, clip or model was made."""

from typing import Any

import pytest
from playwright.sync_api import Page
from support.page_modules import call

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec


def generation(**more: Any) -> dict[str, Any]:
    """A job as the API server returns it: with defaults."""
    spec = GenerateJobSpec.from_dict({"prompt": "a dog", **more}).to_dict()
    return {"kind": "GenerateJob", "spec": spec, "model_id": spec.get("modelId")}


def training(**more: Any) -> dict[str, Any]:
    given = {"prompt": "a dog", "modelId": "my-dog", "dataset": {"uri": "s3://photos/1/"}, **more}
    return {"kind": "TrainJob", "model_id": "my-dog", "spec": TrainJobSpec.from_dict(given).to_dict()}


def main_settings(modules: Page, job: dict[str, Any]) -> dict[str, str]:
    return dict(call(modules, "job_settings.js", "m.mainSettings(given[0])", job))


def other_settings(modules: Page, job: dict[str, Any]) -> dict[str, str]:
    return dict(call(modules, "job_settings.js", "m.otherSettings(given[0])", job))


def test_details_of_a_picture_have_all_that_makes_it_again(modules: Page) -> None:
    images = {
        "seed": 7,
        "count": 3,
        "steps": 12,
        "guidanceScale": 2.5,
        "scheduler": "DPM++",
        "width": 192,
        "height": 96,
    }
    job = generation(modelId="my-dog", loraScale=0.8, negativePrompt="text", images=images, cache={"profile": "Fast"})
    assert main_settings(modules, job) == {
        "Strength of the model": "0.8",
        "Seed": "7 to 9",
        "Steps": "12",
        "Guidance": "2.5",
        "Sampler": "DPM++",
        "Size": "192 × 96",
        "Cache profile": "Fast",
        "Not in the picture": "text",
    }


def test_setting_that_is_left_to_the_base_model_says_so(modules: Page) -> None:
    shown = main_settings(modules, generation())
    own = "The base model’s own"
    assert (shown["Sampler"], shown["Size"], shown["Guidance"]) == (own, own, "5")
    assert "Strength of the model" not in shown


def test_details_of_pictures_without_a_seed_have_none(modules: Page) -> None:
    job = generation(images={"count": 3})
    del job["spec"]["images"]["seed"]
    assert "Seed" not in main_settings(modules, job)


def test_details_of_a_clip_have_its_own_seed_and_motion(modules: Page) -> None:
    job = generation(
        allowMotion=True,
        video={"seed": 4, "frames": 8, "startImage": {"uri": "s3://darkroom/a.png"}},
        images={"count": 0},
    )
    shown = main_settings(modules, job)
    assert (shown["Seed of the clip"], shown["Frames of the clip"], shown["Amount of motion"]) == ("4", "8", "127")
    assert not {"Seed", "Guidance", "Sampler", "Size"} & set(shown)
    assert other_settings(modules, job)["Video · start image · URI"] == "s3://darkroom/a.png"


def test_details_of_a_training_have_its_settings(modules: Page) -> None:
    job = training(
        maxSteps=300, training={"rank": 8, "learningRate": 0.001, "priorPreservation": {"classPrompt": "a pet"}}
    )
    shown = main_settings(modules, job)
    assert (shown["Steps"], shown["Rank"], shown["Learning rate"], shown["Resolution"]) == (
        "300",
        "8",
        "0.001",
        "The base model’s own",
    )
    assert other_settings(modules, job)["Prior preservation · class prompt"] == "a pet"


def test_setting_that_the_page_does_not_know_is_shown_by_its_name(modules: Page) -> None:
    """A later gateway may have more."""
    job = generation(loras=[{"modelId": "style", "scale": 0.5}])
    job["spec"]["images"]["sharpnessGain"] = 3
    others = other_settings(modules, job)
    assert (others["Sharpness gain"], others["LoRAs · 1 · scale"], others["Clip skip"]) == ("3", "0.5", "0")


@pytest.mark.parametrize(
    "field", ["suspend", "webhook", "backoffLimit", "priority", "images.previewSteps", "video.fps"]
)
def test_field_that_changes_no_picture_is_not_listed(modules: Page, field: str) -> None:
    job = generation(priority=3, webhook="https://example.com/hook", images={"previewSteps": 5})
    names = {*main_settings(modules, job), *other_settings(modules, job)}
    words = call(modules, "format.js", "m.words(given[0])", field.rpartition(".")[2])
    assert not [name for name in names if words in name.lower()]


@pytest.mark.parametrize(
    ("artifact", "line"),
    [
        ({"role": "image"}, ["my-dog at 0.8", "128 × 128", "12 steps", "guidance 2", "Euler", "no cache"]),
        (
            {"role": "video"},
            ["my-dog at 0.8", "128 × 128", "8 frames", "25 steps", "7 frames a second", "motion 127", "no cache"],
        ),
    ],
)
def test_opened_picture_says_in_a_line_how_it_was_made(
    modules: Page, artifact: dict[str, str], line: list[str]
) -> None:
    images = {"steps": 12, "guidanceScale": 2, "scheduler": "Euler"}
    job = generation(
        modelId="my-dog",
        loraScale=0.8,
        images=images,
        cache={"profile": "Disabled"},
        allowMotion=True,
        video={"frames": 8},
    )
    assert call(modules, "job_settings.js", "m.settingsOf(...given)", job, artifact, "128 × 128") == line
