"""The state of an unfinished training in object storage: saved now and then, found again by the job's next run.

`train_job` opens it, `training/session.py` saves and asks for states. The state is one object and the record that
points to it is written after it, so half a state is never read. Layout: `darkroom_contract.storage`.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from darkroom_contract.base_models import UsedModel
from darkroom_contract.runs import RunDocument
from darkroom_contract.storage import CheckpointRecord, checkpoint_record_key, checkpoint_state_key
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.storage import NoSuchObjectError, Storage, sha256_of

log = logging.getLogger(__name__)

_CONTENT_TYPE = "application/octet-stream"


class Checkpoints:
    """The states of one job's training."""

    def __init__(self, storage: Storage, document: RunDocument, scratch: Path) -> None:
        self._storage = storage
        self._document = document
        self._path = scratch / "checkpoint.safetensors"
        self.saved_step: int | None = None
        """The step of the newest state in storage, as far as this run knows."""

    def fetch(self, base_model: UsedModel) -> Path | None:
        """The newest whole state, or None when there is none that this run, on `base_model`, can go on from."""
        record = self._record()
        if record is None:
            return None
        if UsedModel(reference=record.base_model, commit=record.base_model_commit).differs(base_model):
            log.warning("the saved state is of another base model, %s: training begins anew", record.base_model)
            return None
        try:
            self._storage.download(self._storage.bucket, record.state_key, self._path)
        except NoSuchObjectError:
            log.warning("the state of step %d is gone from storage: training begins anew", record.step)
            return None
        if sha256_of(self._path) != record.sha256:
            log.warning("the state of step %d is not what was saved: training begins anew", record.step)
            return None
        log.info("going on from step %d, saved by run %d", record.step, record.attempt)
        self.saved_step = record.step
        return self._path

    def put(self, step: int, base_model: UsedModel, write: Callable[[Path], None]) -> None:
        """Put away the state that `write` writes to a file, and remove the one before it.

        A storage in trouble or a full disk does not end the training: it is told in the log, and the older state stays.
        """
        try:
            write(self._path)
            self._put(step, base_model)
        except (StorageUnavailableError, OSError) as error:
            log.warning("the state of step %d was not saved: %s", step, error)

    def clear(self) -> None:
        """The training is finished: its state is of no more use."""
        try:
            record = self._record()
            if record is not None:
                self._storage.delete(checkpoint_record_key(self._document.uid))
                self._storage.delete(record.state_key)
        except StorageUnavailableError as error:
            log.warning("the training's last state stays in storage: %s", error)

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
        log.info("saved the state of step %d", step)
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
            log.warning("the record of the saved state can't be read: training begins anew")
            return None
        # Whoever can write the record must not make a run fetch, or delete, what is not its own.
        is_own = record.state_key == checkpoint_state_key(self._document.uid, record.step)
        if not is_own:
            log.warning("the saved state is of another job and is not used")
            return None
        return record
