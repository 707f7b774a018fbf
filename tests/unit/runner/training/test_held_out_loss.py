"""The loss on held-out photos: measured at intervals, without influence on the training; the best LoRA is kept."""

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from botocore.exceptions import ClientError
from safetensors import safe_open
from safetensors.torch import load

from darkroom_contract.storage.keys import ModelRecord
from darkroom_runner.errors import DatasetInvalidError, InterruptedRunError, StorageUnavailableError
from darkroom_runner.training.trainer import Trainer

LORA = "pytorch_lora_weights.safetensors"


@pytest.fixture
def model_id() -> str:
    return f"m-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def best(content: Callable[[str], bytes], model_id: str) -> Callable[[], ModelRecord]:
    """The record of the best LoRA."""
    return lambda: ModelRecord.model_validate_json(content(f"models/default/{model_id}/steps/best.json"))


def test_the_held_out_loss_is_measured_at_each_interval_and_at_the_end(open_job: Callable[..., Any]) -> None:
    job = open_job(5, heldOutPhotos=1, evaluationSteps=2)

    metrics = job.train().metrics

    measured = {
        event.step: event.metrics["heldOutLoss"] for event in job.sender.events if "heldOutLoss" in event.metrics
    }
    assert {2, 4, 5} <= measured.keys()
    assert metrics["heldOutLoss"] == measured[5]
    assert metrics["bestHeldOutLoss"] == min(measured.values())
    assert measured[int(metrics["bestStep"])] == metrics["bestHeldOutLoss"]
    assert len(set(measured.values())) == 3


def test_measuring_does_not_change_the_training(open_job: Callable[..., Any]) -> None:
    settings = {"heldOutPhotos": 1, "trainTextEncoders": True, "loraDropout": 0.2}
    rarely, often = open_job(**settings), open_job(evaluationSteps=1, **settings)

    rarely.train()
    often.train()

    assert rarely.losses == often.losses


def test_the_held_out_loss_shows_overfitting(open_job: Callable[..., Any], model_id: str) -> None:
    """At this rate the weights soon grow too large: the best LoRA is not the last."""
    job = open_job(6, model_id=model_id, heldOutPhotos=1, evaluationSteps=1, learningRate=0.03, layers="All")

    metrics = job.train().metrics

    assert metrics["bestStep"] < 6
    assert metrics["bestHeldOutLoss"] < metrics["heldOutLoss"]


def test_the_best_lora_is_kept_beside_the_last(
    open_job: Callable[..., Any],
    model_id: str,
    best: Callable[[], ModelRecord],
    content: Callable[[str], bytes],
    tmp_path: Any,
) -> None:
    job = open_job(
        6, model_id=model_id, heldOutPhotos=1, evaluationSteps=1, saveSteps=1, learningRate=0.03, layers="All"
    )

    result = job.train()

    record, step = best(), int(result.metrics["bestStep"])
    assert (record.step, record.held_out_loss) == (step, result.metrics["bestHeldOutLoss"])
    assert record.weights_key == f"{job.prefix}steps/best/{LORA}"
    kept, saved = load(content(record.weights_key)), load(content(f"{job.prefix}steps/{step}/{LORA}"))
    assert all(torch.equal(kept[name], saved[name]) for name in saved)
    (tmp_path / "best.safetensors").write_bytes(content(record.weights_key))
    with safe_open(tmp_path / "best.safetensors", framework="pt") as file:
        assert float(file.metadata()["darkroom.heldOutLoss"]) == record.held_out_loss
    assert result.saved_steps[-1] == record
    assert len(result.files) == 2


def test_a_saved_step_has_the_loss_that_was_measured_at_it(
    open_job: Callable[..., Any], model_id: str, content: Callable[[str], bytes], tmp_path: Path
) -> None:
    job = open_job(4, model_id=model_id, heldOutPhotos=1, evaluationSteps=2, saveSteps=1)

    result = job.train()

    measured = {
        event.step: event.metrics["heldOutLoss"] for event in job.sender.events if "heldOutLoss" in event.metrics
    }
    records = {each.step: each for each in result.saved_steps[:4]}
    assert {step: each.held_out_loss for step, each in records.items()} == {
        1: None,
        2: measured[2],
        3: None,
        4: measured[4],
    }
    for step, record in records.items():
        path = tmp_path / f"{step}.safetensors"
        path.write_bytes(content(record.weights_key))
        with safe_open(path, framework="pt") as file:
            header = file.metadata().get("darkroom.heldOutLoss")
        assert header == (None if record.held_out_loss is None else str(record.held_out_loss))


def test_a_resumed_run_keeps_the_best_so_far(
    open_job: Callable[..., Any], model_id: str, best: Callable[[], ModelRecord]
) -> None:
    settings = {
        "model_id": model_id, "heldOutPhotos": 1, "evaluationSteps": 1, "learningRate": 0.03, "layers": "All",
        "checkpointSteps": 0,
    }  # fmt: skip
    whole = open_job(5, **settings)
    metrics = whole.train().metrics
    stopped = open_job(5, **settings)
    announce = stopped.session.progress.announce

    def stop(*arguments: Any, **more: Any) -> None:
        announce(*arguments, **more)
        stopped.context.stop_signal.requested = stopped.session.progress._step == 4

    stopped.session.progress.announce = stop
    with pytest.raises(InterruptedRunError):
        stopped.train()
    before = best()

    resumed = open_job(5, uid=stopped.context.document.uid, **settings)
    again = resumed.train().metrics

    assert again["resumedFromStep"] == 4
    assert (again["bestStep"], again["bestHeldOutLoss"]) == (metrics["bestStep"], metrics["bestHeldOutLoss"])
    assert again["heldOutLoss"] == metrics["heldOutLoss"]
    assert best() == before
    assert before.step is not None
    assert before.step < 4


def test_the_best_lora_is_stored_later_if_storage_is_down(
    open_job: Callable[..., Any], model_id: str, best: Callable[[], ModelRecord], caplog: pytest.LogCaptureFixture
) -> None:
    job = open_job(2, model_id=model_id, heldOutPhotos=1, evaluationSteps=2)
    upload = job.context.storage.upload
    failures: list[tuple[Any, ...]] = []

    def fail_once(*arguments: Any) -> str:
        if not failures:
            failures.append(arguments)
            raise StorageUnavailableError("Object storage failed to upload")
        digest: str = upload(*arguments)
        return digest

    job.context.storage.upload = fail_once
    job.train()

    assert "the best LoRA so far, of step 2, is not stored yet" in caplog.text
    assert best().step == 2


def test_the_best_lora_is_stored_at_the_next_evaluation_if_storage_is_back(
    open_job: Callable[..., Any], model_id: str, best: Callable[[], ModelRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only at the end: a run that is killed later resumes behind the best step."""
    job = open_job(3, model_id=model_id, heldOutPhotos=1, evaluationSteps=1)
    losses, found = iter([0.4, 0.5, 0.6]), list[ModelRecord]()
    monkeypatch.setattr(Trainer, "held_out_loss", lambda *_: next(losses))
    upload, step = job.context.storage.upload, job.session.progress.step

    def fail_once(*arguments: Any) -> str:
        job.context.storage.upload = upload
        raise StorageUnavailableError("Object storage failed to upload")

    def look(number: int, total: int | None = None, **metrics: float) -> None:
        if number == 3 and "loss" in metrics:
            found.append(best())
        step(number, total, **metrics)

    job.context.storage.upload, job.session.progress.step = fail_once, look
    job.train()

    assert [each.step for each in found] == [1]


def test_a_best_lora_whose_record_is_missing_is_found_anew(
    open_job: Callable[..., Any],
    model_id: str,
    best: Callable[[], ModelRecord],
    content: Callable[[str], bytes],
    s3: Any,
) -> None:
    """A run was killed between the weights of a better LoRA and the record, which still is of an earlier one."""
    settings = {"model_id": model_id, "heldOutPhotos": 1, "evaluationSteps": 2}
    killed = open_job(4, **settings)
    killed.train()
    record = best().model_copy(update={"step": 1, "held_out_loss": 0.0, "sha256": "0" * 64})
    body = record.model_dump_json(by_alias=True).encode()
    s3.put_object(Bucket="darkroom", Key=f"models/default/{model_id}/steps/best.json", Body=body)

    metrics = open_job(4, uid=killed.context.document.uid, **settings).train().metrics

    assert metrics["bestHeldOutLoss"] > 0
    assert best().step == metrics["bestStep"]
    assert hashlib.sha256(content(best().weights_key)).hexdigest() == best().sha256


def test_a_best_lora_written_in_part_is_never_stored(
    open_job: Callable[..., Any], model_id: str, best: Callable[[], ModelRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage is down for the first one, and the disk is full in the middle of the next."""
    job = open_job(2, model_id=model_id, heldOutPhotos=1, evaluationSteps=1)
    losses = iter([0.5, 0.4])
    monkeypatch.setattr(Trainer, "held_out_loss", lambda *_: next(losses))
    upload, save = job.context.storage.upload, job.session.save
    saved: list[Path] = []

    def fail_once(*arguments: Any) -> str:
        job.context.storage.upload = upload
        raise StorageUnavailableError("Object storage failed to upload")

    def fill_the_disk(path: Path, metadata: dict[str, str]) -> None:
        saved.append(path)
        if len(saved) == 2:
            path.write_bytes(b"cut short")
            raise OSError(28, "No space left on device")
        save(path, metadata)

    job.context.storage.upload, job.session.save = fail_once, fill_the_disk
    job.train()

    with pytest.raises(ClientError, match="NoSuchKey"):
        best()


def test_a_stop_while_the_held_out_loss_is_measured_saves_a_checkpoint(
    open_job: Callable[..., Any], model_id: str
) -> None:
    settings = {"model_id": model_id, "heldOutPhotos": 2, "evaluationSteps": 2, "checkpointSteps": 0}
    whole, stopped = open_job(4, **settings), open_job(4, **settings)
    keep_alive, passes = stopped.session.progress.keep_alive, list[None]()

    def stop(work: float) -> None:
        passes.append(None)
        stopped.context.stop_signal.requested = len(passes) == 3
        keep_alive(work)

    stopped.session.progress.keep_alive = stop
    with pytest.raises(InterruptedRunError):
        stopped.train()
    assert len(passes) == 3

    resumed = open_job(4, uid=stopped.context.document.uid, **settings).train().metrics

    expected = whole.train().metrics
    assert resumed["resumedFromStep"] == 2
    assert all(resumed[name] == expected[name] for name in ("heldOutLoss", "bestHeldOutLoss", "bestStep"))


def test_one_photo_must_remain_to_train_on(open_job: Callable[..., Any]) -> None:
    with pytest.raises(DatasetInvalidError, match=r"training\.heldOutPhotos 3 leaves"):
        open_job(heldOutPhotos=3).train()
