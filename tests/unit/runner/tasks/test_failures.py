"""Failing runs, as processes: each leaves a reason, a message with advice, and an exit code."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from support.photos import encode

from darkroom_contract.outcome import Reason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec

BUCKET = "darkroom"
TRY_AGAIN, FAILED, INTERRUPTED = 75, 1, 143


def training(uri: str, **extra: Any) -> TrainJobSpec:
    return TrainJobSpec.from_dict({"modelId": "m", "prompt": "a photo of sks dog", "dataset": {"uri": uri}, **extra})


def generation(**extra: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", **extra})


@pytest.mark.parametrize(
    ("files", "reason", "words"),
    [
        (
            {"dog.jpg": b"a text, not an image"},
            Reason.DATASET_INVALID,
            "dog.jpg is no JPEG, PNG, WebP, AVIF or HEIC picture",
        ),
        ({"wide.png": encode(Image.new("L", (30_000, 64)))}, Reason.DATASET_INVALID, "wide.png has 30000 × 64 pixels"),
        ({"cut.png": encode(Image.effect_noise((99, 99), 50))[:2000]}, Reason.DATASET_INVALID, "cut.png is damaged"),
        ({}, Reason.DATASET_NOT_FOUND, "There are no photos in"),
    ],
    ids=["text named .jpg", "30,000 pixels wide", "truncated", "no photos"],
)
def test_invalid_photos_fail_the_run_at_once(
    start_run: Callable[..., Any],
    put_dataset: Callable[..., str],
    files: dict[str, bytes],
    reason: Reason,
    words: str,
) -> None:
    run = start_run(training(put_dataset(files))).finish()

    assert (run.outcome.succeeded, run.outcome.reason, run.exit_code) == (False, reason, FAILED)
    assert words in run.outcome.message
    assert "Traceback" not in run.log


def test_a_training_with_a_too_long_prompt_fails_and_quotes_the_cut_part(
    start_run: Callable[..., Any], put_dataset: Callable[..., str]
) -> None:
    spec = training(put_dataset()).model_copy(update={"prompt": "a photo, " + "sharp, " * 12 + "of sks dog"})

    run = start_run(spec).finish()

    assert (run.outcome.reason, run.exit_code) == (Reason.PROMPT_TOO_LONG, FAILED)
    assert run.outcome.message.startswith("prompt has ")
    assert "of sks dog' would be cut off" in run.outcome.message
    assert "Traceback" not in run.log


def test_an_unknown_model_is_reported_with_advice(start_run: Callable[..., Any]) -> None:
    run = start_run(generation(modelId="never-trained")).finish()

    assert (run.outcome.reason, run.exit_code) == (Reason.MODEL_NOT_FOUND, FAILED)
    assert "no model 'never-trained' in namespace 'default'. Train it with a TrainJob" in run.outcome.message


def test_an_unknown_base_model_is_reported(start_run: Callable[..., Any]) -> None:
    run = start_run(generation(), base_model="no-such-model").finish()

    assert (run.outcome.reason, run.exit_code) == (Reason.BASE_MODEL_NOT_FOUND, FAILED)
    assert "no base model 'no-such-model'" in run.outcome.message


@pytest.mark.parametrize("document", ["no json", "{}", '{"namespace": "default"}'])
def test_an_invalid_run_document_is_reported(start_run: Callable[..., Any], document: str) -> None:
    run = start_run(document).finish()

    assert (run.outcome.reason, run.exit_code) == (Reason.INVALID_RUN, FAILED)


def test_unreachable_storage_is_retriable(start_run: Callable[..., Any], unused_port: int) -> None:
    run = start_run(generation(), DARKROOM_S3_ENDPOINT_URL=f"http://127.0.0.1:{unused_port}").finish()

    assert (run.outcome.reason, run.exit_code) == (Reason.STORAGE_UNAVAILABLE, TRY_AGAIN)
    assert "Could not connect" in run.outcome.message


def test_wrong_credentials_are_reported_without_quoting_them(start_run: Callable[..., Any]) -> None:
    run = start_run(generation(), AWS_SECRET_ACCESS_KEY="a-wrong-secret-of-some-length").finish()

    assert run.outcome.reason is Reason.STORAGE_UNAVAILABLE
    assert "credentials" in run.outcome.message
    assert "a-wrong-secret" not in run.log + run.outcome.message


def test_a_stopped_training_is_interrupted_and_leaves_a_checkpoint(
    start_run: Callable[..., Any],
    put_dataset: Callable[..., str],
    events: Callable[[str], list[dict[str, Any]]],
    until: Callable[..., None],
    s3: Any,
) -> None:
    run = start_run(training(put_dataset(), maxSteps=20_000))
    until(lambda: any(each["stage"] == "Training" and each["step"] for each in events(run.uid)), "training step", 60)

    run.process.send_signal(signal.SIGTERM)
    finished = run.finish(20)

    assert (finished.outcome.reason, finished.exit_code) == (Reason.INTERRUPTED, INTERRUPTED)
    left = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{run.uid}/")["Contents"]]
    names = [key.removeprefix(f"runs/{run.uid}/") for key in left]
    assert names[1:] == ["checkpoint.json", "logs/1.txt"]
    assert names[0].startswith("checkpoint-")


def test_a_second_run_of_a_finished_job_only_reports_its_outcome(start_run: Callable[..., Any], s3: Any) -> None:
    outcome = {"succeeded": True, "prefix": "runs/1234/", "metrics": {"seconds": 4.0}}
    manifest = {"outcome": outcome, "attempt": 1, "created": "2026-11-24T00:00:00Z"}
    s3.put_object(Bucket=BUCKET, Key="runs/1234/manifest.json", Body=json.dumps(manifest).encode())

    run = start_run(training(f"s3://{BUCKET}/no/such/folder/"), uid="1234", attempt=2).finish()

    assert run.exit_code == 0
    assert run.outcome.metrics == {"seconds": 4.0}
    assert "finished by run 1" in run.log
