"""Removes imported LoRA files that no model refers to: of imports that failed, and of models that a later training
replaced. Synchronous; called from worker threads by sweeper.py.

An import stores its file first and the model's record last. So a file without a record is either an import in progress
or left over; only files older than `GRACE` are removed, and none that an unfinished job may still read.
"""

import logging
import re
from collections.abc import Collection
from datetime import datetime, timedelta

from darkroom_contract.names import MODEL_ID_PATTERN
from darkroom_contract.storage.keys import lora_prefix
from darkroom_gateway.deletion.background import run_for_each
from darkroom_gateway.deletion.deletable_job import DeletableJob
from darkroom_gateway.jobs.task_ids import IMPORT_ID_PATTERN
from darkroom_gateway.models.records import ModelRecords
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

GRACE = timedelta(hours=24)
"""Far longer than any import takes: a gateway could be suspended between the file and the record."""

MAX_IMPORTS = 100_000
"""Maximum number of imports that one sweep checks."""


class ImportCollector:
    """The imports of one namespace."""

    def __init__(self, storage: ObjectStorage, namespace: str) -> None:
        self._storage = storage
        self._namespace = namespace
        self._records = ModelRecords(storage, namespace)

    def collect(self, jobs: Collection[DeletableJob], now: datetime) -> list[str]:
        """Remove unused imports and return their prefixes. `jobs` are all jobs of the namespace."""
        unfinished = [job for job in jobs if not job.finished]
        folders = self._storage.list_folders(lora_prefix(self._namespace), MAX_IMPORTS)
        imports = [lora_prefix(self._namespace, each) for each in folders if re.fullmatch(IMPORT_ID_PATTERN, each)]
        removed: list[str] = []
        run_for_each(imports, lambda prefix: self._collect(prefix, unfinished, now, removed), str)
        return removed

    def _collect(self, prefix: str, unfinished: list[DeletableJob], now: datetime, removed: list[str]) -> None:
        keys = self._storage.first_keys(prefix)
        models = [key.removeprefix(prefix).removesuffix(".safetensors") for key in keys]
        if any(self._is_needed(key, model, unfinished) for key, model in zip(keys, models, strict=True)):
            return
        newest = self._storage.newest(prefix)
        if newest is None or newest > now - GRACE:
            return
        self._storage.delete_below(prefix)
        log.info("removed the imported LoRA %s, which no model refers to", keys[0] if keys else prefix)
        removed.append(prefix)

    def _is_needed(self, key: str, model_id: str, unfinished: list[DeletableJob]) -> bool:
        """Whether a model's record or an unfinished job may refer to the file. An import names its file after its
        model."""
        uri = f"s3://{self._storage.bucket}/{key}"
        users = (job for job in unfinished if model_id in job.references.models or job.references.reads_below([uri]))
        if not re.fullmatch(MODEL_ID_PATTERN, model_id) or any(users):
            return True
        record = self._records.read(model_id)
        return self._records.has(model_id) if record is None else record.weights_key == key
