"""Trained LoRAs in storage: the record of a model id, and the integrity of its weights."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from darkroom_contract.specs.lora import LoraSource
from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_contract.storage.keys import ModelRecord, model_reference_key, model_step_key
from darkroom_runner.errors import (
    DatasetNotAllowedError,
    InvalidRunError,
    ModelIncompatibleError,
    ModelNotFoundError,
)
from darkroom_runner.models import model_store, step_records
from darkroom_runner.models.model_store import fetch_lora, fetch_lora_source, read_record, write_record
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


@pytest.mark.parametrize("model_id", ["../../etc", "a/b", "", ".hidden", "dog\n", "dog@../x", "dog@", "dog@0"])
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


# --- by reference or URI -----------------------------------------------------------------------------------------


def lora_bytes(*names: str) -> bytes:
    """A LoRA file of scalars with these names."""
    entries = {
        name: {"dtype": "F32", "shape": [1, 1], "data_offsets": [4 * n, 4 * n + 4]} for n, name in enumerate(names)
    }
    header = json.dumps(entries | {"__metadata__": {"modelspec.title": "A dog"}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * len(names))


LORA = lora_bytes(*(f"lora_unet_mid_block_attentions_0_proj_in.lora_{side}.weight" for side in ("down", "up")))
POLICY = DatasetPolicy("darkroom", ("s3://darkroom/shared/",))


def fetch(storage: Storage, folder: Path, **source: str) -> model_store.FetchedLora:
    return fetch_lora_source(storage, "default", LoraSource(**source), POLICY, folder)


@pytest.mark.parametrize("key", ["loras/default/x/style.safetensors", "shared/style.safetensors"])
def test_a_lora_file_is_fetched_by_its_uri(storage: Storage, tmp_path: Path, key: str) -> None:
    storage.write(key, LORA, "application/octet-stream")

    fetched = fetch(storage, tmp_path, uri=f"s3://darkroom/{key}")

    assert fetched.path.read_bytes() == LORA
    assert (fetched.name, fetched.record) == (f"s3://darkroom/{key}", None)
    assert fetched.sha256 == hashlib.sha256(LORA).hexdigest()
    assert fetched.metadata == {"modelspec.title": "A dog"}


@pytest.mark.parametrize(
    "uri",
    [
        "s3://darkroom/loras/other/style.safetensors",
        "s3://darkroom/loras/default/../other/style.safetensors",
        "s3://elsewhere/loras/default/style.safetensors",
        "s3://darkroom/loras/default/style.pt",
    ],
)
def test_a_file_outside_of_the_namespace_s_folders_is_not_read(storage: Storage, tmp_path: Path, uri: str) -> None:
    with pytest.raises(DatasetNotAllowedError):
        fetch_lora_source(storage, "default", LoraSource.model_construct(uri=uri), POLICY, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_reported(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no LoRA s3://darkroom/shared/none\.safetensors"):
        fetch(storage, tmp_path, uri="s3://darkroom/shared/none.safetensors")


def test_a_file_beyond_the_limit_is_not_downloaded(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("shared/large.safetensors", LORA, "application/octet-stream")
    monkeypatch.setattr(model_store, "MAX_LORA_BYTES", len(LORA) - 1)

    with pytest.raises(ModelIncompatibleError, match=f"has {len(LORA)} bytes, more than the limit of {len(LORA) - 1}"):
        fetch(storage, tmp_path, uri="s3://darkroom/shared/large.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no LoRA", "not a safetensors file"),
        (lora_bytes("lora_unet_mid_block_attentions_0_proj_in.oft_blocks"), "1 of its tensors can't be applied"),
        (LORA[:-1], "incomplete or damaged"),
    ],
)
def test_a_file_that_can_t_be_used_is_refused_by_its_header(
    storage: Storage, tmp_path: Path, content: bytes, words: str
) -> None:
    storage.write("shared/odd.safetensors", content, "application/octet-stream")

    with pytest.raises(ModelIncompatibleError, match=words):
        fetch(storage, tmp_path, uri="s3://darkroom/shared/odd.safetensors")


def put_step(storage: Storage, step: str) -> None:
    record = record_of(weights_key=f"runs/1/steps/{step}/lora", sha256=hashlib.sha256(LORA).hexdigest(), model_id="owl")
    storage.write(record.weights_key, LORA, "application/octet-stream")
    storage.write(model_step_key("default", "owl", step), record.model_dump_json().encode(), "application/json")


def test_a_saved_step_is_fetched_and_a_missing_one_names_those_that_exist(storage: Storage, tmp_path: Path) -> None:
    for step in ("1000", "200", "best"):
        put_step(storage, step)

    fetched = fetch(storage, tmp_path, model_id="owl@200")

    assert fetched.record is not None
    assert (fetched.name, fetched.record.weights_key) == ("owl@200", "runs/1/steps/200/lora")
    assert fetch(storage, tmp_path, model_id="owl@best").path != fetched.path
    with pytest.raises(ModelNotFoundError, match=r"no model 'owl@300' .* saved steps of 'owl' are 200, 1000, best\."):
        fetch(storage, tmp_path, model_id="owl@300")


def test_a_step_of_a_model_without_steps_says_how_to_save_them(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'plain' has no saved steps\. Use 'plain', or .*saveSteps"):
        fetch(storage, tmp_path, model_id="plain@best")


def test_exactly_one_of_model_and_uri_is_needed(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(InvalidRunError, match="exactly one"):
        fetch(storage, tmp_path)


def test_the_best_lora_can_be_fetched_while_a_training_replaces_it(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights are already the new ones, and their record follows."""
    key = "runs/1/steps/best/weights.safetensors"
    storage.write(key, LORA, "x")
    before = record_of(model_id="replaced", weights_key=key, sha256="0" * 64)
    after = record_of(model_id="replaced", weights_key=key, sha256=hashlib.sha256(LORA).hexdigest())
    step_records.write(storage, "default", "best", before)
    waits: list[float] = []

    def replace(seconds: float) -> None:
        waits.append(seconds)
        step_records.write(storage, "default", "best", after)

    monkeypatch.setattr(model_store.time, "sleep", replace)

    assert fetch(storage, tmp_path, model_id="replaced@best").record == after
    assert waits == [1.0]


def test_changed_weights_of_the_best_lora_are_refused_in_the_end(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.write("runs/1/steps/best/changed.safetensors", b"changed", "x")
    record = record_of(model_id="changed", weights_key="runs/1/steps/best/changed.safetensors", sha256="0" * 64)
    step_records.write(storage, "default", "best", record)
    waits: list[float] = []
    monkeypatch.setattr(model_store.time, "sleep", waits.append)

    with pytest.raises(ModelIncompatibleError, match="were changed after they were stored"):
        fetch(storage, tmp_path, model_id="changed@best")

    assert len(waits) == 3


@pytest.mark.parametrize(
    ("job_uid", "key"),
    [
        ("", "loras/other/i1/secret.safetensors"),
        ("", "loras/default/../other/i1/secret.safetensors"),
        ("", "runs/1/secret.safetensors"),
        ("1", "runs/2/secret.safetensors"),
        ("1", "datasets/other/d/secret.safetensors"),
    ],
)
@pytest.mark.parametrize("reference", ["forged", "forged@200", "forged@best"])
def test_a_forged_record_gives_away_no_file_of_others(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str, job_uid: str, key: str
) -> None:
    monkeypatch.setattr(model_store.time, "sleep", lambda seconds: None)
    if ".." not in key:
        storage.write(key, LORA, "x")
    record = record_of(model_id="forged", weights_key=key, job_uid=job_uid, sha256=hashlib.sha256(LORA).hexdigest())
    storage.write(model_reference_key("default", reference), record.model_dump_json().encode(), "application/json")

    with pytest.raises(ModelIncompatibleError, match="which is not below"):
        fetch(storage, tmp_path, model_id=reference)
