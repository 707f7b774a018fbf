"""Deletes models. Synchronous; called from worker threads by sweeper.py, which also resumes interrupted
deletions.

1. Write a removal record that names the runs whose LoRA is deleted. From now on a sweep will complete the deletion.
2. Delete `model.json`: the model is unknown from one moment to the next.
3. Delete the weights.
4. Delete the removal record.
"""

import logging
import re
from collections.abc import Collection
from datetime import UTC, datetime

from pydantic import ValidationError

from darkroom_contract.names import MODEL_ID_PATTERN, Kind
from darkroom_contract.storage.keys import (
    ModelRecord,
    ModelRemoval,
    model_record_key,
    model_removal_key,
    model_removals_prefix,
    run_prefix,
)
from darkroom_gateway.deletion.background import run_for_each
from darkroom_gateway.deletion.deletable_job import DeletableJob
from darkroom_gateway.errors import FieldError, ModelInUseError, UnknownModelError
from darkroom_gateway.storage.client import ObjectStorage

log = logging.getLogger(__name__)

MAX_NAMED = 5
"""Maximum number of jobs that an error message names."""

UID_PATTERN = r"[A-Za-z0-9-]{1,64}"
"""Restricts uids that become a part of a key, because records come from the bucket."""


class ModelDeleter:
    """Deletes models of one namespace."""

    def __init__(self, storage: ObjectStorage, namespace: str) -> None:
        self._storage = storage
        self._namespace = namespace

    def delete(self, model_id: str, jobs: Collection[DeletableJob]) -> None:
        """Delete a model and the LoRAs of all its trainings. `model_id` must match `MODEL_ID_PATTERN`.

        `jobs` are all jobs of the namespace. Raises `UnknownModelError`, or `ModelInUseError` while an unfinished job
        trains or uses it.
        """
        users = [job for job in jobs if job.model_id == model_id and not job.finished]
        if users:
            raise _in_use(model_id, users)
        content = self._storage.read(model_record_key(self._namespace, model_id))
        earlier = self._removal(model_removal_key(self._namespace, model_id))
        if content is None and earlier is None:
            message = f"There is no model {model_id!r}. GET /models lists all models."
            raise UnknownModelError(message, (FieldError("model_id", message, model_id),))
        trained = [job.uid for job in jobs if job.kind is Kind.TRAIN and job.model_id == model_id]
        runs = (*_runs(content), *(earlier.runs if earlier is not None else ()), *trained)
        removal = ModelRemoval(
            model_id=model_id,
            runs=tuple(uid for uid in dict.fromkeys(runs) if re.fullmatch(UID_PATTERN, uid)),
            requested=datetime.now(UTC),
        )
        key, body = model_removal_key(self._namespace, model_id), removal.model_dump_json(by_alias=True).encode()
        self._storage.write(key, body, "application/json")
        if content is not None:
            self._storage.delete([model_record_key(self._namespace, model_id)])
        self._complete(removal, {job.uid for job in jobs})

    def complete_all(self, jobs: Collection[DeletableJob]) -> None:
        """Complete interrupted deletions. `jobs` are all jobs of the namespace."""
        uids = {job.uid for job in jobs}
        keys = self._storage.first_keys(model_removals_prefix(self._namespace))
        run_for_each(keys, lambda key: self._complete_recorded(key, uids), str)

    def _complete_recorded(self, key: str, job_uids: Collection[str]) -> None:
        removal = self._removal(key)
        if removal is not None:
            self._complete(removal, job_uids)

    def _complete(self, removal: ModelRemoval, job_uids: Collection[str]) -> None:
        """Steps 2 to 4. Keeps a record that a later training wrote under the same name."""
        record_key = model_record_key(self._namespace, removal.model_id)
        current = _runs(self._storage.read(record_key))
        if current and current[0] in removal.runs:
            self._storage.delete([record_key])
        for uid in removal.runs:
            # The other files belong to the job, and are deleted with it.
            suffix = ".safetensors" if uid in job_uids else ""
            self._storage.delete_below(run_prefix(uid), suffix=suffix)
        self._storage.delete([model_removal_key(self._namespace, removal.model_id)])
        log.info("removed the model %s with the LoRAs of %d trainings", removal.model_id, len(removal.runs))

    def _removal(self, key: str) -> ModelRemoval | None:
        content = self._storage.read(key)
        if content is None:
            return None
        try:
            removal = ModelRemoval.model_validate_json(content)
        except ValidationError as error:
            log.error("%s can't be read, so the deletion that it records is not completed: %s", key, error)
            return None
        names = [removal.model_id, *removal.runs]
        patterns = [MODEL_ID_PATTERN, *[UID_PATTERN] * len(removal.runs)]
        if key != model_removal_key(self._namespace, removal.model_id) or not all(map(re.fullmatch, patterns, names)):
            log.error("ignored %s: it contains an invalid model id or job uid", key)
            return None
        return removal


def _runs(record: bytes | None) -> tuple[str, ...]:
    """The job uids of a record, the current one first; none for an unreadable record."""
    try:
        found = None if record is None else ModelRecord.model_validate_json(record)
    except ValidationError:
        return ()
    return () if found is None else (found.job_uid, *found.earlier_runs)


def _in_use(model_id: str, users: list[DeletableJob]) -> ModelInUseError:
    named = ", ".join(job.key for job in users[:MAX_NAMED])
    more = f" and {len(users) - MAX_NAMED} more" if len(users) > MAX_NAMED else ""
    return ModelInUseError(
        f"The model {model_id!r} is trained or used by unfinished jobs: {named}{more}. Delete these jobs, or wait "
        "until they have finished, and try again."
    )
