"""Checkpoints: the state of an unfinished training in object storage, from which the job's next run resumes.

A state is one object, and the record that refers to it is written after it, so that an incomplete state is never read.
Key layout: `darkroom_contract.storage.keys`.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from darkroom_contract.base_models import UsedModel
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage.keys import CheckpointRecord, checkpoint_record_key, checkpoint_state_key
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.run.storage import NoSuchObjectError, Storage, sha256_of

log = logging.getLogger(__name__)

_CONTENT_TYPE = "application/octet-stream"


class Checkpoints:
    """The checkpoints of one job."""

    def __init__(self, storage: Storage, document: RunDocument, scratch: Path) -> None:
        self._storage = storage
        self._document = document
        self._path = scratch / "checkpoint.safetensors"
        self.saved_step: int | None = None
        """The step of the newest state that this run has saved or resumed from."""

    def fetch(self, base_model: UsedModel) -> Path | None:
        """Download the newest state of a training on `base_model`; returns its path, or None if there is none."""
        record = self._record()
        if record is None:
            return None
        if UsedModel(reference=record.base_model, commit=record.base_model_commit).differs(base_model):
            log.warning("the checkpoint is of another base model, %s: training starts from step 0", record.base_model)
            return None
        try:
            self._storage.download(self._storage.bucket, record.state_key, self._path)
        except NoSuchObjectError:
            log.warning("the checkpoint of step %d was deleted from storage: training starts from step 0", record.step)
            return None
        if sha256_of(self._path) != record.sha256:
            log.warning(
                "the checkpoint of step %d is corrupt (SHA-256 differs): training starts from step 0", record.step
            )
            return None
        log.info("resuming from step %d, saved by run %d", record.step, record.attempt)
        self.saved_step = record.step
        return self._path

    def put(self, step: int, base_model: UsedModel, write: Callable[[Path], None]) -> None:
        """Save the state that `write` writes to a file, and delete the previous one.

        If storage fails or the disk is full, a warning is logged, the previous state stays, and training continues.
        """
        try:
            write(self._path)
            self._put(step, base_model)
        except (StorageUnavailableError, OSError) as error:
            log.warning("the checkpoint of step %d was not saved: %s", step, error)

    def clear(self) -> None:
        """Delete the checkpoint of a finished training. Raises nothing."""
        try:
            record = self._record()
            if record is not None:
                self._storage.delete(checkpoint_record_key(self._document.uid))
                self._storage.delete(record.state_key)
        except StorageUnavailableError as error:
            log.warning("the checkpoint of the finished training was not deleted: %s", error)

    def _put(self, step: int, base_model: UsedModel) -> None:
        before = self._record()
        key = checkpoint_state_key(self._document.uid, step)
        record = CheckpointRecord(
            step=step,
            state_key=key,
            sha256=self._storage.upload(key, self._path, _CONTENT_TYPE),
            base_model=base_model.reference,
            base_model_commit=base_model.commit,
            attempt=self._document.attempt,
            created=datetime.now(UTC),
        )
        body = record.model_dump_json(by_alias=True).encode()
        self._storage.write(checkpoint_record_key(self._document.uid), body, "application/json")
        log.info("saved the checkpoint of step %d", step)
        self.saved_step = step
        if before is not None and before.state_key != key:
            self._storage.delete(before.state_key)

    def _record(self) -> CheckpointRecord | None:
        content = self._storage.read(checkpoint_record_key(self._document.uid))
        if content is None:
            return None
        try:
            record = CheckpointRecord.model_validate_json(content)
        except ValidationError:
            log.warning("the checkpoint's record can't be read: training starts from step 0")
            return None
        # A forged record must not make a run download or delete another job's objects.
        is_own = record.state_key == checkpoint_state_key(self._document.uid, record.step)
        if not is_own:
            log.warning("the checkpoint is of another job and is ignored")
            return None
        return record
