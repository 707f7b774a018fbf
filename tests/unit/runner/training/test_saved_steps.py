"""LoRAs of a training's steps in storage: usable at once, written once, and replaced by the next training."""

import hashlib
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load, load_file

from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.progress import ProgressEvent
from darkroom_contract.storage.keys import ModelRecord, model_step_key
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.models import step_records

FILES = ["my-dog.safetensors", "pytorch_lora_weights.safetensors"]


@pytest.fixture
def record_of(content: Callable[[str], bytes]) -> Callable[[str, str], ModelRecord]:
    """The record of a model's saved step."""
    return lambda model_id, step: ModelRecord.model_validate_json(content(model_step_key("default", model_id, step)))


def tensors_sha256(safetensors: bytes) -> str:
    """Of everything behind the header, whose length is in the first eight bytes."""
    return hashlib.sha256(safetensors[8 + int.from_bytes(safetensors[:8], "little") :]).hexdigest()


def publish(job: Any) -> None:
    """End a run as the life cycle does, without uploading its files."""
    job.task.publish(
        (OutcomeFile(name="pytorch_lora_weights.safetensors", content_type="x", bytes=1, sha256="0" * 64),)
    )


def test_a_saved_step_can_be_used_while_the_training_still_runs(
    open_job: Callable[..., Any],
    stored: Callable[[str], list[str]],
    content: Callable[[str], bytes],
    record_of: Callable[[str, str], ModelRecord],
) -> None:
    job = open_job(saveSteps=2)
    step = job.session.progress.step
    found: dict[str, Any] = {}

    def look(number: int, total: int | None = None, **metrics: float) -> None:
        if number == 3 and "loss" in metrics:
            found["record"] = record_of("my-dog", "2")
            found["files"] = stored(f"{job.prefix}steps/2/")
        step(number, total, **metrics)

    job.session.progress.step = look
    result = job.train()

    record = found["record"]
    assert found["files"] == FILES
    assert record.weights_key == f"{job.prefix}steps/2/{FILES[1]}"
    assert hashlib.sha256(content(record.weights_key)).hexdigest() == record.sha256
    assert tensors_sha256(content(f"{job.prefix}steps/2/{FILES[0]}")) == record.kohya_tensors_sha256
    assert (record.step, record.job_uid, record.prompt) == (2, job.context.document.uid, "a photo of sks dog")
    assert [each.step for each in result.saved_steps] == [2, 4]
    assert [path.name for path in result.files] == FILES[::-1]


def test_the_files_of_a_saved_step_are_announced_when_it_can_be_used(
    open_job: Callable[..., Any], record_of: Callable[[str, str], ModelRecord]
) -> None:
    model_id = f"m-{uuid.uuid4().hex[:8]}"
    job = open_job(2, model_id=model_id, saveSteps=1, heldOutPhotos=1, evaluationSteps=2)
    send, found = job.sender.send, list[tuple[tuple[str, ...], int | None]]()

    def look(event: ProgressEvent) -> None:
        if event.files:
            found.append((event.files, record_of(model_id, event.files[0].split("/")[1]).step))
        send(event)

    job.sender.send = look
    job.train()

    names, saved = [f"{model_id}.safetensors", FILES[1]], [("1", 1), ("best", 2), ("2", 2)]
    assert found == [(tuple(f"steps/{name}/{file}" for file in names), step) for name, step in saved]


def test_a_saved_step_has_the_weights_of_that_step(
    open_job: Callable[..., Any], content: Callable[[str], bytes], tmp_path: Any
) -> None:
    job = open_job(saveSteps=2)
    final, *_ = job.train().files
    shorter = open_job(2)
    shorter.train()

    halfway = load(content(f"{job.prefix}steps/2/{FILES[1]}"))
    last = load(content(f"{job.prefix}steps/4/{FILES[1]}"))

    expected = shorter.session.adapters.folded_state()
    assert halfway.keys() == expected.keys()
    assert all(torch.equal(halfway[name], expected[name]) for name in expected)
    assert all(torch.equal(last[name], each) for name, each in load_file(final).items())
    path = tmp_path / "halfway.safetensors"
    path.write_bytes(content(f"{job.prefix}steps/2/{FILES[1]}"))
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["darkroom.trainedSteps"] == "2"


def test_saving_steps_does_not_change_the_training(open_job: Callable[..., Any]) -> None:
    plain, saving = open_job(loraDropout=0.2), open_job(loraDropout=0.2, saveSteps=1)

    plain.train()
    saving.train()

    assert plain.losses == saving.losses


def test_a_step_of_an_earlier_run_of_the_job_is_left_unchanged(
    open_job: Callable[..., Any], content: Callable[[str], bytes]
) -> None:
    model_id = f"m-{uuid.uuid4().hex[:8]}"
    first = open_job(2, model_id=model_id, saveSteps=2)
    first.train()
    before = content(f"{first.prefix}steps/2/{FILES[1]}")

    again = open_job(2, uid=first.context.document.uid, model_id=model_id, saveSteps=2, learningRate=1e-4)
    again.train()

    assert content(f"{first.prefix}steps/2/{FILES[1]}") == before
    another = open_job(2, model_id=model_id, saveSteps=2, learningRate=1e-4)
    another.train()
    assert content(f"{another.prefix}steps/2/{FILES[1]}") != before


def test_a_step_that_can_not_be_stored_adds_a_remark(open_job: Callable[..., Any]) -> None:
    job, plain = open_job(saveSteps=2), open_job()
    upload = job.context.storage.upload
    failures: list[tuple[Any, ...]] = []

    def fail_once(*arguments: Any) -> str:
        if not failures:
            failures.append(arguments)
            raise StorageUnavailableError("Object storage failed to upload")
        digest: str = upload(*arguments)
        return digest

    job.context.storage.upload = fail_once
    result = job.train()
    plain.train()

    [remark] = job.context.remarks.collected
    assert remark.reason == "FileLeftOut"
    assert remark.message.startswith("my-dog@2, the LoRA of step 2, is missing: Object storage failed")
    assert [each.step for each in result.saved_steps] == [4]
    assert job.losses == plain.losses


def test_a_successful_training_removes_the_steps_of_earlier_ones(
    open_job: Callable[..., Any], stored: Callable[[str], list[str]]
) -> None:
    model_id = f"m-{uuid.uuid4().hex[:8]}"
    earlier = open_job(3, model_id=model_id, saveSteps=1, heldOutPhotos=1)
    earlier.train()
    publish(earlier)
    steps = f"models/default/{model_id}/steps/"
    assert stored(steps) == ["1.json", "2.json", "3.json", "best.json"]

    later = open_job(4, model_id=model_id, saveSteps=2)
    later.train()
    assert stored(steps) == ["1.json", "2.json", "3.json", "4.json", "best.json"]
    publish(later)

    assert stored(steps) == ["2.json", "4.json"]
    assert stored(f"{earlier.prefix}steps/3/") != []


def test_steps_of_a_training_that_runs_at_the_same_time_are_kept(storage: Any) -> None:
    model_id, now = f"m-{uuid.uuid4().hex[:8]}", datetime.now(UTC)

    def record(job_uid: str, created: datetime) -> ModelRecord:
        return ModelRecord(
            model_id=model_id, weights_key="k", sha256="0" * 64, base_model="b", job_uid=job_uid, created=created
        )

    step_records.write(storage, "default", "100", record("before", now - timedelta(minutes=1)))
    step_records.write(storage, "default", "200", record("beside", now + timedelta(minutes=1)))
    step_records.write(storage, "default", "300", record("own", now + timedelta(minutes=1)))

    step_records.delete_earlier(storage, "default", record("own", now), now)

    assert sorted(step_records.read_all(storage, "default", model_id)) == ["200", "300"]


def test_a_full_disk_adds_a_remark_and_the_training_continues(open_job: Callable[..., Any]) -> None:
    job = open_job(2, saveSteps=1)
    save = job.session.save
    failures: list[tuple[Any, ...]] = []

    def fail_once(*arguments: Any) -> None:
        if not failures:
            failures.append(arguments)
            raise OSError(28, "No space left on device")
        save(*arguments)

    job.session.save = fail_once
    result = job.train()

    assert job.remarks == ["FileLeftOut"]
    assert [each.step for each in result.saved_steps] == [2]
