"""Trained LoRAs in object storage: the record that a model id means, and the weights that it points to.

`train_job` writes records, `generate_job` reads them. Layout: `darkroom_contract.storage`.
"""

import logging
import re
from pathlib import Path

from pydantic import ValidationError

from darkroom_contract.names import MODEL_ID_PATTERN
from darkroom_contract.storage import LORA_FILE, ModelRecord, model_record_key
from darkroom_runner.errors import InvalidRunError, ModelIncompatibleError, ModelNotFoundError
from darkroom_runner.storage import NoSuchObjectError, Storage, sha256_of

log = logging.getLogger(__name__)


def read_record(storage: Storage, namespace: str, model_id: str) -> ModelRecord:
    """What a model id means at present. Raises `ModelNotFoundError`."""
    check_model_id(model_id)
    content = storage.read(model_record_key(namespace, model_id))
    if content is None:
        raise ModelNotFoundError(
            f"There is no model {model_id!r} in namespace {namespace!r}. Train it first with a TrainJob whose modelId "
            "is that, wait until it has succeeded, or correct modelId."
        )
    try:
        return ModelRecord.model_validate_json(content)
    except ValidationError as error:
        raise ModelIncompatibleError(f"The record of model {model_id!r} can't be read. Train it again.") from error


def fetch_weights(storage: Storage, record: ModelRecord, folder: Path) -> Path:
    """Download the weights of a record and check that they are the ones it was made for."""
    path = folder / LORA_FILE
    try:
        storage.download(storage.bucket, record.weights_key, path)
    except NoSuchObjectError as error:
        raise ModelNotFoundError(
            f"The weights of model {record.model_id!r} are gone from storage ({record.weights_key}). Train it again."
        ) from error
    if sha256_of(path) != record.sha256:
        raise ModelIncompatibleError(
            f"The weights of model {record.model_id!r} are not those that were trained: the SHA-256 of "
            f"{record.weights_key} differs from the model's record. Train it again."
        )
    return path


def write_record(storage: Storage, namespace: str, record: ModelRecord) -> None:
    """Make the model id mean this record, with the uids of the trainings before it: their LoRAs go with the model."""
    check_model_id(record.model_id)
    key = model_record_key(namespace, record.model_id)
    record = record.model_copy(update={"earlier_runs": _earlier_runs(storage.read(key), record.job_uid)})
    storage.write(key, record.model_dump_json(by_alias=True).encode(), "application/json")
    log.info("model %s now means the weights of run %s", record.model_id, record.job_uid)


def _earlier_runs(content: bytes | None, job_uid: str) -> tuple[str, ...]:
    """The uids of the record that is replaced, each once. A record that can't be read names none."""
    try:
        before = None if content is None else ModelRecord.model_validate_json(content)
    except ValidationError:
        before = None
    uids = () if before is None else (*before.earlier_runs, before.job_uid)
    return tuple(dict.fromkeys(uid for uid in uids if uid != job_uid))


def check_model_id(model_id: str) -> None:
    """Once more before it becomes part of a key: `$` in the contract's pattern lets a final newline pass."""
    if not re.fullmatch(MODEL_ID_PATTERN, model_id):
        raise InvalidRunError(f"{model_id!r} is no model id.")
