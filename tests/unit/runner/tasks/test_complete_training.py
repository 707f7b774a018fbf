"""A training with every option resumes after SIGKILL to the same losses, weights and outputs: real runner processes."""

import io
import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from safetensors.torch import load
from support.runner_photos import draw_photo, png
from support.warm_parent.image_steps import VARIABLE

from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import Manifest, ModelRecord

BUCKET = "darkroom"
STEPS, LORA = 8, "pytorch_lora_weights.safetensors"
EVERYTHING: dict[str, Any] = {
    "rank": 4,
    "alpha": 2,
    "layers": "All",
    "loraDropout": 0.1,
    "trainTextEncoders": True,
    "textEncoderLearningRate": 0.5,
    "optimizer": "Prodigy",
    "learningRateSchedule": "cosine",
    "warmupSteps": 2,
    "gradientAccumulationSteps": 2,
    "cropping": "Buckets",
    "maskedLoss": {"unmaskedWeight": 0.2},
    "noiseOffset": 0.05,
    "captionDropout": 0.2,
    "shuffleTags": True,
    "keepTags": 1,
    "randomFlip": True,
    "seed": 5,
    "minSnrGamma": 5.0,
    "priorPreservation": {"classPrompt": "a photo of a dog", "classImages": 2},
    "emaDecay": 0.9,
    "memory": "Low",
    "checkpointSteps": 2,
    "validationPrompt": "a photo of sks dog",
    "validationPrompts": ["a photo of xyz cat"],
    "validationSteps": 4,
    "saveSteps": 4,
    "heldOutPhotos": 2,
    "evaluationSteps": 2,
}

DORA = {"dora": True, "optimizer": "AdamW", "learningRate": 1e-2, "textEncoderLearningRate": 5e-3}


def photos(size_px: tuple[int, int], first: int) -> dict[str, bytes]:
    """Two square photos with captions, one of them with a mask, and a photo of another shape."""
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (16, 16, 48, 48))
    files = {f"{number}.png": png(draw_photo(number)) for number in (first, first + 1)}
    files[f"{first + 2}.png"] = png(draw_photo(first + 2).resize(size_px))
    files[f"{first}.mask.png"] = png(mask)
    return {**files, f"{first}.txt": b"sks, grass, sky, day", f"{first + 1}.txt": b"sks, snow, night, moon"}


@pytest.fixture
def spec(put_dataset: Callable[..., str]) -> Callable[..., TrainJobSpec]:
    """The job. Both of its runs read the same photos."""
    prior = {"classPrompt": "a photo of a cat", "dataset": {"uri": put_dataset()}, "weight": 0.5}
    concept = {
        "prompt": "a photo of xyz cat",
        "dataset": {"uri": put_dataset(photos((64, 128), 4)), "captions": {"6.png": "xyz, sofa, lamp, cushion"}},
        "repeats": 2,
        "priorPreservation": prior,
    }
    dataset = {"uri": put_dataset(photos((128, 64), 1))}

    def make(**training: Any) -> TrainJobSpec:
        return TrainJobSpec.from_dict(
            {
                "modelId": "my-dog",
                "prompt": "a photo of sks dog",
                "dataset": dataset,
                "concepts": [concept],
                "maxSteps": STEPS,
                "training": {**EVERYTHING, **training},
            }
        )

    return make


@pytest.fixture
def read(s3: Any) -> Callable[[str], bytes]:
    return lambda key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def measured(events: list[dict[str, Any]], metric: str) -> dict[int, float]:
    """A metric by training step, as far as it was reported."""
    training = [each for each in events if each["stage"] == "Training" and metric in each["metrics"]]
    return {each["step"]: each["metrics"][metric] for each in training}


def tensors(body: bytes) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in load(body).items()}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("changes", [{}, DORA], ids=["Prodigy", "DoRA"])
def test_a_training_with_everything_resumes_after_a_kill_to_the_same_loss_curve(
    changes: dict[str, Any],
    spec: Callable[..., TrainJobSpec],
    start_run: Callable[..., Any],
    events: Callable[[str], list[dict[str, Any]]],
    until: Callable[..., None],
    read: Callable[[str], bytes],
    s3: Any,
) -> None:
    job = spec(**changes)
    few = {VARIABLE: "4"}
    whole = start_run(job, **few).finish(300)
    assert whole.outcome.succeeded, whole.log
    killed = start_run(job, **few)
    until(lambda: any(each["step"] > 4 for each in events(killed.uid) if each["stage"] == "Training"), "step 5", 300)
    killed.process.send_signal(signal.SIGKILL)
    assert killed.process.wait(20) != 0
    early = ModelRecord.model_validate_json(read("models/default/my-dog/steps/4.json"))
    assert (early.job_uid, early.step) == (killed.uid, 4)
    before = stored(s3, f"runs/{killed.uid}/")

    resumed = start_run(job, uid=killed.uid, attempt=2, **few).finish(300)

    assert resumed.outcome.succeeded, resumed.log
    assert resumed.outcome.metrics["resumedFromStep"] >= 4
    assert_same_curves(events(whole.uid), events(killed.uid))
    for metric in ("finalLoss", "heldOutLoss", "bestHeldOutLoss", "bestStep"):
        assert resumed.outcome.metrics[metric] == whole.outcome.metrics[metric]
    assert_same_files(read, s3, whole, resumed, before)


def assert_same_curves(whole: list[dict[str, Any]], resumed: list[dict[str, Any]]) -> None:
    """The events of both runs of the resumed job are in one stream; a percentage falls only where a run begins."""
    for metric in ("loss", "heldOutLoss"):
        one, other = measured(whole, metric), measured(resumed, metric)
        common = one.keys() & other.keys()
        assert len(common) >= 3
        assert {step: one[step] for step in common} == {step: other[step] for step in common}
    percentages = [each["progressPercentage"] for each in whole]
    assert percentages == sorted(percentages)


def assert_same_files(read: Callable[[str], bytes], s3: Any, whole: Any, resumed: Any, before: dict[str, Any]) -> None:
    names = [file.name for file in resumed.outcome.files]
    assert names == [file.name for file in whole.outcome.files]
    assert names[2:] == ["a-job-validation.png", "a-job-validation-2.png", "a-job-samples.png"]
    prefixes = [f"runs/{run.uid}/" for run in (whole, resumed)]
    for name in (LORA, f"steps/4/{LORA}", f"steps/8/{LORA}", f"steps/best/{LORA}"):
        assert tensors(read(prefixes[0] + name)) == tensors(read(prefixes[1] + name))
    samples = [f"samples/a-job-step-000{step:02d}-{prompt}.png" for step in (4, 8) for prompt in (0, 1)]
    for name in samples:
        assert pixels(read(prefixes[0] + name)) == pixels(read(prefixes[1] + name))
    after = stored(s3, prefixes[1])
    kept = [name for name in before if name.startswith(("samples/", "steps/4/"))]
    assert kept
    assert all(after[name] == before[name] for name in kept)
    manifest = Manifest.model_validate_json(read(f"{prefixes[1]}manifest.json"))
    assert [each.step for each in manifest.saved_steps[:-1]] == [4, 8]
    assert manifest.saved_steps[-1].step == resumed.outcome.metrics["bestStep"]
    assert [f"samples/{name}" for name in manifest.samples] == samples
    assert not [name for name in after if "checkpoint" in name]


def stored(s3: Any, prefix: str) -> dict[str, Any]:
    """The objects below a prefix, with the time at which each was written."""
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {each["Key"].removeprefix(prefix): each["LastModified"] for each in listed}


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as image:
        assert json.loads(image.info["darkroom"])["modelId"] == "my-dog"
        return image.tobytes()
