"""The loss on held-out photos: measured at intervals, without influence on the training; the best LoRA is kept."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load

from darkroom_contract.storage.keys import ModelRecord
from darkroom_runner.errors import DatasetInvalidError, InterruptedRunError, StorageUnavailableError

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


def test_one_photo_must_remain_to_train_on(open_job: Callable[..., Any]) -> None:
    with pytest.raises(DatasetInvalidError, match=r"training\.heldOutPhotos 3 leaves"):
        open_job(heldOutPhotos=3).train()
