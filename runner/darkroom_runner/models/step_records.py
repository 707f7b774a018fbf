"""The records of a model's saved steps in object storage: the LoRAs that `my-dog@200` and `my-dog@best` refer to.

The train task writes and deletes them; `model_store` reads the one that a job uses. Key layout:
`darkroom_contract.storage.keys`.
"""

import logging
from datetime import datetime

from pydantic import ValidationError

from darkroom_contract.storage.keys import ModelRecord, model_step_key, model_steps_prefix
from darkroom_runner.models.model_store import check_model_id
from darkroom_runner.run.storage import Storage

log = logging.getLogger(__name__)


def write(storage: Storage, namespace: str, step: str, record: ModelRecord) -> None:
    """Replace the record of a saved step: its number, or `best`."""
    check_model_id(record.model_id)
    key = model_step_key(namespace, record.model_id, step)
    storage.write(key, record.model_dump_json(by_alias=True).encode(), "application/json")
    log.info("model %s@%s now refers to %s", record.model_id, step, record.weights_key)


def read(storage: Storage, namespace: str, model_id: str, step: str) -> ModelRecord | None:
    """The record of a saved step; None if there is none, or if it can't be read."""
    check_model_id(model_id)
    content = storage.read(model_step_key(namespace, model_id, step))
    try:
        return None if content is None else ModelRecord.model_validate_json(content)
    except ValidationError:
        log.warning("the record of %s@%s can't be read", model_id, step)
        return None


def read_all(storage: Storage, namespace: str, model_id: str) -> dict[str, ModelRecord]:
    """The records of all saved steps of a model, by their name. Unreadable ones are left out."""
    check_model_id(model_id)
    listed = storage.list_folder(storage.bucket, model_steps_prefix(namespace, model_id))
    names = [each.name.removesuffix(".json") for each in listed]
    found = {name: read(storage, namespace, model_id, name) for name in names}
    return {name: record for name, record in found.items() if record is not None}


def delete_earlier(storage: Storage, namespace: str, record: ModelRecord, before: datetime) -> None:
    """Delete the records of steps that other trainings of this model saved before a time: `record` replaces theirs.

    Their weights are in the folders of those trainings, and are deleted with them. A training of the same model that
    runs at the same time keeps its steps.
    """
    for step, saved in read_all(storage, namespace, record.model_id).items():
        if saved.job_uid != record.job_uid and saved.created < before:
            storage.delete(model_step_key(namespace, record.model_id, step))
            log.info("deleted the record of %s@%s, which an earlier training saved", record.model_id, step)
