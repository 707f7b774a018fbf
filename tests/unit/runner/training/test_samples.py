"""Sample images of a training: stored, announced, put on a sheet, and without any influence on the training."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from darkroom_contract.plan import VALIDATION_STEPS
from darkroom_contract.progress import ProgressEvent
from darkroom_runner.errors import InterruptedRunError, StorageUnavailableError
from darkroom_runner.run import progress as progress_module
from darkroom_runner.sampling import sdxl
from darkroom_runner.training.sample_sheet import MAX_COLUMNS, draw_sheet, shown_steps

Result = tuple[list[float], dict[str, torch.Tensor]]
"""Losses and weights of a training."""
PROMPTS = {"validationPrompt": "a photo of sks dog", "validationPrompts": ["sks dog on the moon"]}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def plain_results() -> dict[str, Result]:
    """By the settings of the training."""
    return {}


@pytest.fixture
def train_plainly(open_job: Callable[..., Any], plain_results: dict[str, Result]) -> Callable[..., Result]:
    """The result of a training without samples. The same settings are trained once for all tests."""

    def train(**training: Any) -> Result:
        key = json.dumps(training, sort_keys=True)
        if key not in plain_results:
            job = open_job(**training)
            job.train()
            plain_results[key] = job.losses, job.weights()
        return plain_results[key]

    return train


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"trainTextEncoders": True, "layers": "All", "loraDropout": 0.3, "emaDecay": 0.9},
        {"priorPreservation": {"classPrompt": "a photo of a dog", "classImages": 1}, "gradientAccumulationSteps": 2},
    ],
    ids=["defaults", "dropout and averages", "prior preservation"],
)
def test_samples_do_not_change_the_training(
    open_job: Callable[..., Any], train_plainly: Callable[..., Result], training: dict[str, Any]
) -> None:
    sampled = open_job(**PROMPTS, validationSteps=1, **training)

    losses, weights = train_plainly(**training)
    sampled.train()

    assert losses == sampled.losses
    assert len(losses) == 4
    assert same(weights, sampled.weights())


def test_samples_are_stored_and_announced_as_soon_as_they_exist(
    open_job: Callable[..., Any], stored: Callable[[str], list[str]], content: Callable[[str], bytes]
) -> None:
    job = open_job(**PROMPTS, validationSteps=2)

    result = job.train()

    names = [f"a-job-step-0000{step}-{prompt}.png" for step in (2, 4) for prompt in (0, 1)]
    assert stored(f"{job.prefix}samples/") == names
    assert job.sender.files == [f"samples/{name}" for name in names]
    assert result.samples == tuple(names)
    [announced] = [event for event in job.sender.events if event.files == (f"samples/{names[0]}",)]
    assert (announced.stage, announced.step, announced.total) == ("Training", 2, 4)
    assert "loss" in announced.metrics
    metadata = json.loads(Image.open(io.BytesIO(content(f"{job.prefix}samples/{names[1]}"))).info["darkroom"])
    assert (metadata["prompt"], metadata["trainingStep"], metadata["seed"]) == ("sks dog on the moon", 2, 0)


def test_progress_moves_while_samples_are_generated(
    open_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "MIN_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(sdxl, "VALIDATION_STEPS", VALIDATION_STEPS)
    job = open_job(**PROMPTS, validationSteps=2, heldOutPhotos=1, evaluationSteps=2)
    send = job.sender.send

    def send_until_the_next_step(event: ProgressEvent) -> None:
        send(event)
        if (event.stage, event.step) == ("Training", 3):
            job.context.stop_signal.requested = True

    job.sender.send = send_until_the_next_step
    with pytest.raises(InterruptedRunError):
        job.train()

    percentages = [
        event.progress_percentage for event in job.sender.events if (event.stage, event.step) == ("Training", 2)
    ]
    assert percentages == sorted(percentages)
    assert len(set(percentages)) > 2 * VALIDATION_STEPS
    assert percentages[-1] - percentages[0] > 40


def test_the_last_samples_are_the_validation_images(
    open_job: Callable[..., Any], content: Callable[[str], bytes]
) -> None:
    job = open_job(**PROMPTS, validationSteps=3)

    result = job.train()

    names = [path.name for path in result.files]
    assert names == [
        "pytorch_lora_weights.safetensors",
        "my-dog.safetensors",
        "a-job-validation.png",
        "a-job-validation-2.png",
        "a-job-samples.png",
    ]
    assert content(f"{job.prefix}samples/a-job-step-00004-1.png") == result.files[3].read_bytes()


def test_samples_show_the_progress_of_the_training(
    open_job: Callable[..., Any], content: Callable[[str], bytes]
) -> None:
    """All have the same seed: only the adapters make them differ."""
    idle, learning = (open_job(6, **PROMPTS, validationSteps=2, learningRate=rate) for rate in (1e-8, 3e-2))

    idle.train()
    learning.train()

    def change(job: Any) -> float:
        first, last = (
            torch.tensor(
                list(Image.open(io.BytesIO(content(f"{job.prefix}samples/a-job-step-0000{step}-0.png"))).tobytes())
            )
            for step in (2, 6)
        )
        return float((first - last).abs().float().mean())

    assert change(idle) < 1.0 < change(learning)


def test_without_an_interval_only_the_finished_lora_is_shown(
    open_job: Callable[..., Any], stored: Callable[[str], list[str]]
) -> None:
    job = open_job(**PROMPTS)

    result = job.train()

    assert [path.name for path in result.files][2:] == ["a-job-validation.png", "a-job-validation-2.png"]
    assert stored(f"{job.prefix}samples/") == []


def test_models_are_in_training_mode_again_after_samples(open_job: Callable[..., Any]) -> None:
    job = open_job(**PROMPTS, validationSteps=2, trainTextEncoders=True)
    modes: dict[int, list[bool]] = {}
    step = job.session.progress.step

    def record(number: int, total: int | None = None, **metrics: float) -> None:
        if "loss" in metrics:
            modes[number] = [module.training for module in job.session.pipeline.unet.modules()]
        step(number, total, **metrics)

    job.session.progress.step = record
    job.train()

    assert all(modes[1])
    assert modes[1] == modes[3] == modes[4]


@pytest.mark.parametrize("fault", [None, torch.OutOfMemoryError("CUDA out of memory.")], ids=["NaN", "memory"])
def test_a_failing_sample_does_not_fail_the_training(
    open_job: Callable[..., Any], train_plainly: Callable[..., Result], fault: Exception | None
) -> None:
    job, images = open_job(**PROMPTS, validationSteps=2), []

    def spoil_the_first(decoder: torch.nn.Module, inputs: Any, pixels: torch.Tensor) -> torch.Tensor:
        images.append(decoder)
        if len(images) > 1:
            return pixels
        if fault is not None:
            raise fault
        return pixels * float("nan")

    job.session.pipeline.vae.decoder.register_forward_hook(spoil_the_first)

    result = job.train()

    assert job.remarks == ["SamplesLeftOut"]
    assert "a-job-step-00002-0.png" not in result.samples
    assert {"a-job-step-00002-1.png", "a-job-step-00004-0.png"} < set(result.samples)
    assert job.losses == train_plainly()[0]
    assert "a-job-samples.png" in [path.name for path in result.files]


def test_samples_wait_while_storage_is_down(
    open_job: Callable[..., Any], stored: Callable[[str], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    job = open_job(**PROMPTS, validationSteps=2)
    upload = job.context.storage.upload
    failures: list[tuple[Any, ...]] = []

    def fail_twice(*arguments: Any) -> str:
        if len(failures) < 2:
            failures.append(arguments)
            raise StorageUnavailableError("Object storage failed to upload")
        digest: str = upload(*arguments)
        return digest

    job.context.storage.upload = fail_twice
    job.train()

    assert "sample images were not stored: Object storage failed to upload" in caplog.text
    assert len(stored(f"{job.prefix}samples/")) == 4
    assert job.remarks == []


def test_a_stop_during_samples_saves_a_checkpoint_and_the_next_run_makes_up_for_them(
    open_job: Callable[..., Any], train_plainly: Callable[..., Result], stored: Callable[[str], list[str]]
) -> None:
    settings = {**PROMPTS, "validationSteps": 2, "checkpointSteps": 0}
    stopped = open_job(**settings)
    keep_alive = stopped.session.progress.keep_alive

    def stop(work: float) -> None:
        keep_alive(work)
        stopped.context.stop_signal.requested = True

    stopped.session.progress.keep_alive = stop
    with pytest.raises(InterruptedRunError):
        stopped.train()

    assert stopped.task.saved_step == 2
    assert stored(f"{stopped.prefix}samples/") == []
    resumed = open_job(uid=stopped.context.document.uid, **settings)
    result = resumed.train()
    losses, weights = train_plainly()
    assert len(result.samples) == 4
    assert stopped.losses + resumed.losses == losses
    assert same(resumed.weights(), weights)


def test_a_sample_of_an_earlier_run_is_kept_and_shown_on_the_sheet(
    open_job: Callable[..., Any], content: Callable[[str], bytes], s3: Any
) -> None:
    job = open_job(validationPrompt="a photo of sks dog", validationSteps=2)
    red = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(red, "PNG")
    s3.put_object(Bucket="darkroom", Key=f"{job.prefix}samples/a-job-step-00002-0.png", Body=red.getvalue())

    result = job.train()

    assert content(f"{job.prefix}samples/a-job-step-00002-0.png") == red.getvalue()
    assert job.sender.files == ["samples/a-job-step-00004-0.png"]
    with Image.open(result.files[-1]) as sheet:
        assert (255, 0, 0) in [color for _, color in sheet.getcolors(2**24) or []]


def test_the_sheet_has_a_row_for_each_prompt_and_a_column_for_each_step(tmp_path: Any) -> None:
    colours = {(0, 10): "red", (0, 20): "green", (1, 20): "blue"}
    cells = {}
    for cell, colour in colours.items():
        cells[cell] = tmp_path / f"{colour}.png"
        Image.new("RGB", (256, 256), colour).save(cells[cell])

    sheet = draw_sheet(["a dog", "a very long prompt " * 40], [10, 20], cells)

    def middle(row: int, column: int) -> object:
        return sheet.getpixel((200 + column * 264 + 128, 28 + row * 264 + 128))

    assert [middle(0, 0), middle(0, 1), middle(1, 1)] == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
    assert middle(1, 0) == (221, 221, 221)
    labels = sheet.crop((0, 0, 200, sheet.height)).getcolors(2**16) or []
    assert len(labels) > 1


def test_a_sheet_of_many_steps_shows_some_of_them() -> None:
    shown = shown_steps(range(1, 101))

    assert len(shown) == len(set(shown)) == MAX_COLUMNS
    assert (shown[0], shown[-1]) == (1, 100)
    assert shown_steps([20, 10]) == [10, 20]
