"""Deletes models. Synchronous; called from worker threads by sweeper.py, which also resumes interrupted
deletions.

1. Write a removal record that names the runs and imports whose LoRA is deleted. From now on a sweep will complete the
   deletion.
2. Delete `model.json`, and the records of saved steps: the model is unknown from one moment to the next.
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
    ModelRemoval,
    lora_prefix,
    model_record_key,
    model_removal_key,
    model_removals_prefix,
    run_prefix,
    saved_step_prefix,
)
from darkroom_gateway.deletion.background import run_for_each
from darkroom_gateway.deletion.deletable_job import DeletableJob
from darkroom_gateway.errors import FieldError, ModelInUseError, UnknownModelError
from darkroom_gateway.jobs.task_ids import IMPORT_ID_PATTERN
from darkroom_gateway.models.missing_models import no_model, undeletable_step
from darkroom_gateway.models.records import ModelRecords, parse_record
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
        self._records = ModelRecords(storage, namespace)

    def delete(self, model_id: str, jobs: Collection[DeletableJob]) -> None:
        """Delete a model with the LoRAs of all its trainings, its saved steps, or its imported file. `model_id` must
        match `MODEL_ID_PATTERN`.

        `jobs` are all jobs of the namespace. Raises `UnknownModelError`, or `ModelInUseError` while an unfinished job
        trains, uses or continues from it.
        """
        record_key = model_record_key(self._namespace, model_id)
        content = self._storage.read(record_key)
        steps = self._records.step_names(model_id)
        earlier = self._removal(model_removal_key(self._namespace, model_id))
        removal = self._planned(model_id, content, steps, earlier, jobs)
        require_unused(model_id, jobs, self._storage.bucket, self._prefixes(removal))
        if content is None and not steps and earlier is None:
            message = no_model(model_id)
            raise UnknownModelError(message, (FieldError("model_id", message, model_id),))
        key, body = model_removal_key(self._namespace, model_id), removal.model_dump_json(by_alias=True).encode()
        self._storage.write(key, body, "application/json")
        if content is not None:
            self._storage.delete([record_key])
        self._records.delete_steps(model_id, steps)
        self._complete(removal, {job.uid for job in jobs})

    def delete_step(self, model_id: str, step: str, jobs: Collection[DeletableJob]) -> None:
        """Delete a saved step: its files, of all trainings of the model, then its record. May be repeated: the record,
        which may be the only one that knows the training, stays until its files are gone.

        Raises `UnknownModelError` when there is neither, and `ModelInUseError` as `delete` does.
        """
        reference = f"{model_id}@{step}"
        content = self._storage.read(model_record_key(self._namespace, model_id))
        steps = self._records.step_names(model_id)
        runs = self._planned(model_id, content, steps, None, jobs).runs
        prefixes = [each for uid in runs if self._storage.first_keys(each := saved_step_prefix(uid, step))]
        if not self._records.has(reference) and not prefixes:
            # Before the check for users: no job has to be deleted for a step that does not exist.
            is_known = content is not None or runs or steps
            message = undeletable_step(model_id, step, steps) if is_known else no_model(model_id)
            raise UnknownModelError(message, (FieldError("model_id", message, reference),))
        require_unused(model_id, jobs, self._storage.bucket, [saved_step_prefix(uid, step) for uid in runs])
        for each in prefixes:
            self._storage.delete_below(each)
        self._records.delete_steps(model_id, [step])
        log.info("removed the saved step %s with the files of %d trainings", reference, len(prefixes))

    def _planned(
        self,
        model_id: str,
        content: bytes | None,
        steps: list[str],
        earlier: ModelRemoval | None,
        jobs: Collection[DeletableJob],
    ) -> ModelRemoval:
        """What a deletion removes: the files of the record, of the saved steps, of an earlier deletion, and of jobs."""
        record = parse_record(content, model_id)
        records = [record, *(self._records.read(f"{model_id}@{step}") for step in steps)]
        imports = [] if record is None else [self._records.import_of(record)]
        runs = [uid for each in records if each is not None for uid in (each.job_uid, *each.earlier_runs)]
        if earlier is not None:
            runs += earlier.runs
            imports += earlier.imports
        runs += [job.uid for job in jobs if job.kind is Kind.TRAIN and job.model_id == model_id]
        return ModelRemoval(
            model_id=model_id,
            runs=tuple(uid for uid in dict.fromkeys(runs) if re.fullmatch(UID_PATTERN, uid)),
            imports=tuple(dict.fromkeys(each for each in imports if each is not None)),
            requested=datetime.now(UTC),
        )

    def _prefixes(self, removal: ModelRemoval) -> list[str]:
        """Prefixes of the files that a removal deletes."""
        imports = [lora_prefix(self._namespace, each) for each in removal.imports]
        return [*map(run_prefix, removal.runs), *imports]

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
        """Steps 2 to 4. Keeps records that a later training or import wrote under the same name."""
        if self._is_removed(removal.model_id, removal):
            self._storage.delete([model_record_key(self._namespace, removal.model_id)])
        steps = self._records.step_names(removal.model_id)
        removed = [each for each in steps if self._is_removed(f"{removal.model_id}@{each}", removal)]
        self._records.delete_steps(removal.model_id, removed)
        for uid in removal.runs:
            # The other files belong to the job, and are deleted with it.
            suffix = ".safetensors" if uid in job_uids else ""
            self._storage.delete_below(run_prefix(uid), suffix=suffix)
        for each in removal.imports:
            self._storage.delete_below(lora_prefix(self._namespace, each))
        self._storage.delete([model_removal_key(self._namespace, removal.model_id)])
        log.info(
            "removed the model %s with the LoRAs of %d trainings and %d imports",
            removal.model_id,
            len(removal.runs),
            len(removal.imports),
        )

    def _is_removed(self, reference: str, removal: ModelRemoval) -> bool:
        """Whether a record refers to a file that the removal deletes."""
        record = self._records.read(reference)
        return record is not None and (
            record.job_uid in removal.runs or self._records.import_of(record) in removal.imports
        )

    def _removal(self, key: str) -> ModelRemoval | None:
        content = self._storage.read(key)
        if content is None:
            return None
        try:
            removal = ModelRemoval.model_validate_json(content)
        except ValidationError as error:
            log.error("%s can't be read, so the deletion that it records is not completed: %s", key, error)
            return None
        names = [removal.model_id, *removal.runs, *removal.imports]
        patterns = [MODEL_ID_PATTERN, *[UID_PATTERN] * len(removal.runs), *[IMPORT_ID_PATTERN] * len(removal.imports)]
        if key != model_removal_key(self._namespace, removal.model_id) or not all(map(re.fullmatch, patterns, names)):
            log.error("ignored %s: it contains an invalid model id, job uid or import id", key)
            return None
        return removal


def require_unused(model_id: str, jobs: Collection[DeletableJob], bucket: str, prefixes: Collection[str]) -> None:
    """Raises `ModelInUseError` while an unfinished job trains, uses or continues from a model, by its name, one of its
    saved steps, or the URI of a file under `prefixes`."""
    uris = [f"s3://{bucket}/{each}" for each in prefixes]
    users = [
        job
        for job in jobs
        if not job.finished and (model_id in job.references.models or job.references.reads_below(uris))
    ]
    if not users:
        return
    named = ", ".join(job.key for job in users[:MAX_NAMED])
    more = f" and {len(users) - MAX_NAMED} more" if len(users) > MAX_NAMED else ""
    raise ModelInUseError(
        f"The model {model_id!r} is trained or used by unfinished jobs: {named}{more}. Delete these jobs, or wait "
        "until they have finished, and try again."
    )
