"""Trained LoRAs in object storage: the record of each model id, and the weights that it refers to.

The train task writes records and the generate task reads them. Key layout: `darkroom_contract.storage.keys`.
"""

import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from darkroom_contract.names import MODEL_ID_PATTERN
from darkroom_contract.storage.keys import (
    LORA_FILE,
    ModelRecord,
    model_record_key,
    model_step_key,
    model_steps_prefix,
)
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, ModelNotFoundError
from darkroom_runner.run.storage import NoSuchObjectError, Storage, sha256_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedLora:
    """A downloaded LoRA and its record."""

    record: ModelRecord
    path: Path


def read_record(storage: Storage, namespace: str, model_id: str) -> ModelRecord:
    """The current record of a model id. Raises `ModelNotFoundError`."""
    check_model_id(model_id)
    content = storage.read(model_record_key(namespace, model_id))
    if content is None:
        raise ModelNotFoundError(
            f"There is no model {model_id!r} in namespace {namespace!r}. Train it with a TrainJob that has this "
            "modelId, wait until that job has succeeded, or correct modelId."
        )
    try:
        return ModelRecord.model_validate_json(content)
    except ValidationError as error:
        raise ModelIncompatibleError(f"The record of model {model_id!r} can't be read. Train it again.") from error


def fetch_lora(storage: Storage, record: ModelRecord, folder: Path) -> TrainedLora:
    """Download a record's weights and verify their SHA-256.

    Raises `ModelNotFoundError` if they are gone, and `ModelIncompatibleError` if they were changed.
    """
    path = folder / LORA_FILE
    try:
        storage.download(storage.bucket, record.weights_key, path)
    except NoSuchObjectError as error:
        raise ModelNotFoundError(
            f"The weights of model {record.model_id!r} were deleted from storage ({record.weights_key}). "
            "Train it again."
        ) from error
    if sha256_of(path) != record.sha256:
        raise ModelIncompatibleError(
            f"The weights of model {record.model_id!r} were changed after training: the SHA-256 of "
            f"{record.weights_key} differs from the model's record. Train it again."
        )
    return TrainedLora(record, path)


def write_record(storage: Storage, namespace: str, record: ModelRecord) -> None:
    """Replace the record of its model id, keeping the uids of earlier trainings: deleting the model deletes theirs."""
    check_model_id(record.model_id)
    key = model_record_key(namespace, record.model_id)
    record = record.model_copy(update={"earlier_runs": _earlier_runs(storage.read(key), record.job_uid)})
    storage.write(key, record.model_dump_json(by_alias=True).encode(), "application/json")
    log.info("model %s now refers to the weights of job %s", record.model_id, record.job_uid)


def write_step(storage: Storage, namespace: str, step: str, record: ModelRecord) -> None:
    """Replace the record of a saved step: its number, or `best`."""
    check_model_id(record.model_id)
    key = model_step_key(namespace, record.model_id, step)
    storage.write(key, record.model_dump_json(by_alias=True).encode(), "application/json")
    log.info("model %s@%s now refers to %s", record.model_id, step, record.weights_key)


def read_step(storage: Storage, namespace: str, model_id: str, step: str) -> ModelRecord | None:
    """The record of a saved step; None if there is none, or if it can't be read."""
    check_model_id(model_id)
    content = storage.read(model_step_key(namespace, model_id, step))
    try:
        return None if content is None else ModelRecord.model_validate_json(content)
    except ValidationError:
        log.warning("the record of %s@%s can't be read", model_id, step)
        return None


def read_steps(storage: Storage, namespace: str, model_id: str) -> dict[str, ModelRecord]:
    """The records of all saved steps of a model, by their name. Unreadable ones are left out."""
    check_model_id(model_id)
    listed = storage.list_folder(storage.bucket, model_steps_prefix(namespace, model_id))
    names = [each.name.removesuffix(".json") for each in listed]
    found = {name: read_step(storage, namespace, model_id, name) for name in names}
    return {name: record for name, record in found.items() if record is not None}


def delete_earlier_steps(storage: Storage, namespace: str, record: ModelRecord, before: datetime) -> None:
    """Delete the records of steps that other trainings of this model saved before a time: `record` replaces theirs.

    Their weights are in the folders of those trainings, and are deleted with them. A training of the same model that
    runs at the same time keeps its steps.
    """
    for step, saved in read_steps(storage, namespace, record.model_id).items():
        if saved.job_uid != record.job_uid and saved.created < before:
            storage.delete(model_step_key(namespace, record.model_id, step))
            log.info("deleted the record of %s@%s, which an earlier training saved", record.model_id, step)


def _earlier_runs(content: bytes | None, job_uid: str) -> tuple[str, ...]:
    """The job uids of the replaced record, without duplicates; empty for an unreadable record."""
    try:
        before = None if content is None else ModelRecord.model_validate_json(content)
    except ValidationError:
        before = None
    uids = () if before is None else (*before.earlier_runs, before.job_uid)
    return tuple(dict.fromkeys(uid for uid in uids if uid != job_uid))


def check_model_id(model_id: str) -> None:
    """Validate before use in a key: `$` in the contract's pattern would accept a trailing newline."""
    if not re.fullmatch(MODEL_ID_PATTERN, model_id):
        raise InvalidRunError(f"{model_id!r} is not a valid model id. Correct modelId.")
