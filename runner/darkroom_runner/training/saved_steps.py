"""The LoRA of a training at some of its steps, in object storage: usable at once as `model_id@step`, or `@best`.

The train task opens `SavedSteps`; `between_steps` calls it. The record is written after the weights, so that it never
refers to incomplete ones; then a progress event names the files. A step is written once: a later run of the job that
repeats it leaves it unchanged. Key layout: `darkroom_contract.storage.keys`.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from darkroom_contract.base_models import UsedModel
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.runs import RunDocument
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import BEST, LORA_FILE, ModelRecord, run_prefix, saved_step_prefix
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.models import step_records
from darkroom_runner.run.progress import ProgressTracker
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.storage import NoSuchObjectError, Storage, sha256_of

log = logging.getLogger(__name__)

_CONTENT_TYPE = "application/octet-stream"

WriteFiles = Callable[[Path, int, float | None], list[Path]]
"""Writes the LoRA's files into a folder: of a step, with the held-out loss in their headers. Raises `OSError`."""


class SavedSteps:
    """The saved steps of one job, and its best one."""

    def __init__(
        self,
        storage: Storage,
        document: RunDocument,
        spec: TrainJobSpec,
        scratch: Path,
        progress: ProgressTracker,
        remarks: Remarks,
    ) -> None:
        self._storage = storage
        self._document = document
        self._spec = spec
        self._scratch = scratch
        self._progress = progress
        self._remarks = remarks
        self._best: tuple[int, float] | None = None
        """Step and held-out loss of a best LoRA that is not in storage yet; its files are in the scratch folder."""

    def find_best(self, base_model: UsedModel) -> ModelRecord | None:
        """The best LoRA that an earlier run of the job has saved. Raises `StorageUnavailableError`."""
        record = self._own_record(BEST)
        if record is None or record.trained_on.differs(base_model):
            return None
        if not self._has_weights(record):
            log.warning(
                "%s@best is ignored: its weights differ from its record. The next evaluation replaces it",
                record.model_id,
            )
            return None
        return record

    def put(self, step: int, loss: float | None, base_model: UsedModel, write: WriteFiles) -> None:
        """Save the LoRA of a step, unless an earlier run has. `loss`: its held-out loss, if it was measured.

        If storage fails or the disk is full, a remark is added, and the training continues.
        """
        try:
            record = self._own_record(str(step))
            if record is not None and not record.trained_on.differs(base_model):
                log.info("an earlier run has saved the LoRA of step %d", step)
                return
            files = write(self._folder(str(step)), step, loss)
            self._publish(str(step), files, base_model, step, loss)
            for path in files:
                path.unlink()
        except (StorageUnavailableError, OSError) as error:
            self._remarks.add(
                RemarkReason.FILE_LEFT_OUT,
                f"{self._spec.model_id}@{step}, the LoRA of step {step}, is missing: {error}",
            )

    def put_best(self, step: int, loss: float, base_model: UsedModel, write: WriteFiles) -> None:
        """Replace the best LoRA, and store it with `store_best`. Raises `OSError`."""
        self._best = None  # `write` replaces its files, perhaps in part.
        write(self._folder(BEST), step, loss)
        self._best = step, loss
        self.store_best(base_model)

    def store_best(self, base_model: UsedModel) -> None:
        """`finish`, but if storage fails, a warning is logged. To be tried again in the course of the training."""
        try:
            self.finish(base_model)
        except StorageUnavailableError as error:
            step = None if self._best is None else self._best[0]
            log.warning("the best LoRA so far, of step %s, is not stored yet: %s", step, error)

    def finish(self, base_model: UsedModel) -> None:
        """Save the best LoRA, if it has not been. Raises `StorageUnavailableError`."""
        if self._best is not None:
            step, loss = self._best
            self._publish(BEST, sorted(self._folder(BEST).iterdir()), base_model, step, loss)
            self._best = None

    def records(self) -> tuple[ModelRecord, ...]:
        """Of all saved steps of this job, by step, the best one last. Raises `StorageUnavailableError`."""
        found = step_records.read_all(self._storage, self._document.namespace, self._spec.model_id)
        own = {name: record for name, record in found.items() if record.job_uid == self._document.uid}
        return tuple(own[name] for name in sorted(own, key=lambda name: (name == BEST, own[name].step or 0)))

    def _publish(self, name: str, files: list[Path], base_model: UsedModel, step: int, loss: float | None) -> None:
        from darkroom_runner.lora.file_hashes import kohya_tensors_sha256

        prefix = saved_step_prefix(self._document.uid, name)
        # The weights that the record refers to last: the two do not match in between, if there was an earlier best.
        ordered = sorted(files, key=lambda path: path.name == LORA_FILE)
        digests = {path.name: self._storage.upload(prefix + path.name, path, _CONTENT_TYPE) for path in ordered}
        record = ModelRecord(
            model_id=self._spec.model_id,
            weights_key=prefix + LORA_FILE,
            sha256=digests[LORA_FILE],
            kohya_tensors_sha256=kohya_tensors_sha256(files, self._spec.model_id),
            base_model=base_model.reference,
            base_model_commit=base_model.commit,
            prompt=self._spec.prompt,
            job_uid=self._document.uid,
            step=step,
            held_out_loss=loss,
            created=datetime.now(UTC),
        )
        step_records.write(self._storage, self._document.namespace, name, record)
        folder = prefix.removeprefix(run_prefix(self._document.uid))
        self._progress.announce([folder + file for file in sorted(digests)])

    def _has_weights(self, record: ModelRecord) -> bool:
        """Whether the weights in storage are those of the record: a run may have ended between writing the two."""
        path = self._folder("stored") / LORA_FILE
        try:
            self._storage.download(self._storage.bucket, record.weights_key, path)
            return sha256_of(path) == record.sha256
        except NoSuchObjectError:
            return False
        finally:
            path.unlink(missing_ok=True)

    def _own_record(self, name: str) -> ModelRecord | None:
        record = step_records.read(self._storage, self._document.namespace, self._spec.model_id, name)
        return record if record is not None and record.job_uid == self._document.uid else None

    def _folder(self, name: str) -> Path:
        folder = self._scratch / "steps" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder
