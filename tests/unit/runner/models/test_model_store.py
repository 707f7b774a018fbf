"""Trained LoRAs in storage: the record of a model id, and the integrity of its weights."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.storage.keys import ModelRecord
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, ModelNotFoundError
from darkroom_runner.models.model_store import fetch_lora, read_record, write_record
from darkroom_runner.run.storage import Storage

WEIGHTS = b"weights"


def record_of(**changes: Any) -> ModelRecord:
    defaults = {
        "model_id": "my-dog",
        "weights_key": "runs/1/pytorch_lora_weights.safetensors",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "base_model": "owner/base",
        "prompt": "a photo of sks dog",
        "job_uid": "1",
        "created": datetime.now(UTC),
    }
    return ModelRecord.model_validate({**defaults, **changes})


def test_a_model_id_refers_to_the_newest_record(storage: Storage, tmp_path: Path) -> None:
    storage.write(record_of().weights_key, WEIGHTS, "application/octet-stream")
    write_record(storage, "default", record_of(job_uid="0"))
    write_record(storage, "default", record_of())

    record = read_record(storage, "default", "my-dog")

    assert record.job_uid == "1"
    assert fetch_lora(storage, record, tmp_path).path.read_bytes() == WEIGHTS


def test_a_record_lists_earlier_trainings(storage: Storage) -> None:
    """Their LoRAs are in other folders, and are deleted with the model."""
    for job_uid in ("1", "2", "2", "3", "1"):
        write_record(storage, "earlier", record_of(job_uid=job_uid))

    record = read_record(storage, "earlier", "my-dog")

    assert (record.job_uid, record.earlier_runs) == ("1", ("2", "3"))


def test_a_model_of_another_namespace_is_not_found(storage: Storage) -> None:
    write_record(storage, "team-a", record_of(model_id="secret-dog"))

    with pytest.raises(ModelNotFoundError, match="no model 'secret-dog' in namespace 'team-b'"):
        read_record(storage, "team-b", "secret-dog")


@pytest.mark.parametrize("model_id", ["../../etc", "a/b", "", ".hidden", "dog\n"])
def test_an_invalid_model_id_never_becomes_a_key(storage: Storage, model_id: str) -> None:
    with pytest.raises(InvalidRunError):
        read_record(storage, "default", model_id)


def test_changed_weights_are_refused(storage: Storage, tmp_path: Path) -> None:
    storage.write(record_of().weights_key, b"other weights", "application/octet-stream")

    with pytest.raises(ModelIncompatibleError, match="SHA-256"):
        fetch_lora(storage, record_of(), tmp_path)


def test_missing_weights_are_reported(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"deleted from storage .* Train it again"):
        fetch_lora(storage, record_of(weights_key="runs/lost/weights"), tmp_path)


def test_an_invalid_record_is_refused(storage: Storage) -> None:
    storage.write("models/default/odd/model.json", b"{}", "application/json")

    with pytest.raises(ModelIncompatibleError, match="Train it again"):
        read_record(storage, "default", "odd")
