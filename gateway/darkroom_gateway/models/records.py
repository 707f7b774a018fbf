"""The records of models and of their saved steps, in object storage. Synchronous; used by the catalog, the import and
the deletion of models."""

import logging
import re

from pydantic import ValidationError

from darkroom_contract.storage.keys import (
    ModelRecord,
    kohya_file,
    lora_prefix,
    model_record_key,
    model_reference_key,
    model_step_key,
    model_steps_prefix,
)
from darkroom_gateway.jobs.task_ids import IMPORT_ID_PATTERN
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

STEP_PATTERN = r"best|[1-9][0-9]{0,4}"
"""Names of saved steps, as in `names.MODEL_REFERENCE_PATTERN`."""


class ModelRecords:
    """The records of one namespace. Model ids and references must have passed their patterns."""

    def __init__(self, storage: ObjectStorage, namespace: str) -> None:
        self._storage = storage
        self._namespace = namespace

    def has(self, reference: str) -> bool:
        """Whether the model, or the saved step, has a record."""
        return self._storage.read(model_reference_key(self._namespace, reference)) is not None

    def read(self, reference: str) -> ModelRecord | None:
        """The record of `my-dog` or `my-dog@200`. None if it does not exist or can't be read, which is logged."""
        return parse_record(self._storage.read(model_reference_key(self._namespace, reference)), reference)

    def write(self, record: ModelRecord) -> None:
        """Write the record of a model. From now on jobs can use it."""
        key = model_record_key(self._namespace, record.model_id)
        self._storage.write(key, record.model_dump_json(by_alias=True).encode(), "application/json")

    def step_names(self, model_id: str) -> list[str]:
        """The saved steps, by number; `best` is the last. At most 1,000."""
        prefix = model_steps_prefix(self._namespace, model_id)
        found = [key.removeprefix(prefix).removesuffix(".json") for key in self._storage.first_keys(prefix)]
        names = [each for each in found if re.fullmatch(STEP_PATTERN, each)]
        return sorted(names, key=lambda name: (name == "best", len(name), name))

    def delete_steps(self, model_id: str, steps: list[str]) -> None:
        """Delete the records of these steps. Their files stay."""
        self._storage.delete([model_step_key(self._namespace, model_id, each) for each in steps])

    def import_of(self, record: ModelRecord) -> str | None:
        """The id of the import that stored the weights; None for a trained model."""
        return import_of_key(record.weights_key, self._namespace)


def parse_record(content: bytes | None, name: str) -> ModelRecord | None:
    """None without content, and for a record that can't be read, which is logged."""
    if content is None:
        return None
    try:
        return ModelRecord.model_validate_json(content)
    except ValidationError as error:
        log.warning("skipped the model %s, whose record can't be read: %s", name, error)
        return None


def import_of_key(key: str, namespace: str) -> str | None:
    """The id of the import that stored the object; None if no gateway has imported it."""
    pattern = rf"{re.escape(lora_prefix(namespace))}({IMPORT_ID_PATTERN})/[^/]+"
    found = re.fullmatch(pattern, key)
    return None if found is None else found[1]


def lora_forms(record: ModelRecord) -> tuple[str, ...]:
    """The keys of all forms of the LoRA: beside the weights there may be a copy in Kohya form."""
    folder = record.weights_key.rpartition("/")[0]
    return tuple(dict.fromkeys((record.weights_key, f"{folder}/{kohya_file(record.model_id)}")))
