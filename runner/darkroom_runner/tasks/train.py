"""The training task: photos in, a LoRA out. Called by `lifecycle`.

torch and modules that need it are imported in `load` and later, so that invalid photos fail within a second.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import LORA_FILE, ModelRecord, kohya_file, run_prefix, validation_file
from darkroom_runner.errors import InternalError, InterruptedRunError, ModelIncompatibleError, translate
from darkroom_runner.models import model_store
from darkroom_runner.models.pretrained import SDXL, PretrainedModel, find_pretrained
from darkroom_runner.run.context import RunContext, RunResult
from darkroom_runner.run.storage import sha256_of
from darkroom_runner.tasks.ignored_settings import remark_on_training
from darkroom_runner.tasks.output_metadata import lora_metadata, png_info, validation_metadata
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo, fetch_photos, remark_upscaled, require_allowed

if TYPE_CHECKING:
    from darkroom_runner.training.session import TrainingSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainInputs:
    """The validated input of a training."""

    photos: list[Photo]
    base_model: PretrainedModel


class TrainTask:
    """Train a LoRA on photos of a subject (DreamBooth)."""

    def __init__(self, context: RunContext, spec: TrainJobSpec) -> None:
        self._context = context
        self._spec = spec
        self._checkpoints = Checkpoints(context.storage, context.document, context.scratch)
        self._base_model: UsedModel | None = None
        """Set once the base model is loaded."""

    @property
    def saved_step(self) -> int | None:
        return self._checkpoints.saved_step

    def download(self) -> TrainInputs:
        context, uri = self._context, self._spec.dataset.uri
        require_allowed(uri, context.document.namespace, context.settings.dataset_policy)
        model_store.check_model_id(self._spec.model_id)
        remark_on_training(self._spec, context.remarks)
        base_model = find_pretrained(context.document.base_model, SDXL, context.settings.model_root)
        photos = fetch_photos(context.storage, uri, context.scratch, context.remarks, context.on_step)
        return TrainInputs(photos, base_model)

    def load(self, inputs: TrainInputs) -> "TrainingSession":
        from darkroom_runner.training.session import open_session

        context = self._context
        return open_session(
            inputs.base_model, self._spec, context.progress, context.stop_signal, self._checkpoints, context.remarks
        )

    def execute(self, inputs: TrainInputs, models: "TrainingSession") -> RunResult:
        remark_upscaled(inputs.photos, models.side_px, self._context.remarks)
        metrics = models.train(inputs.photos)
        weights = self._context.scratch / LORA_FILE
        self._base_model = models.base_model
        metadata = lora_metadata(self._spec, models.base_model)
        models.save(weights, metadata)
        files = [weights, *self._save_kohya(models, metadata)]
        prompt = self._spec.training.validation_prompt
        if prompt is not None:
            files += self._try_validation(models, prompt, sha256_of(weights))
        return RunResult(files, metrics, (models.base_model,))

    def _save_kohya(self, models: "TrainingSession", metadata: dict[str, str]) -> list[Path]:
        """The file in Kohya format. If the base model has no names in that format, the job still succeeds."""
        path = self._context.scratch / kohya_file(self._spec.model_id)
        try:
            models.save_kohya(path, metadata)
        except ModelIncompatibleError as error:
            self._context.remarks.add(
                RemarkReason.FILE_LEFT_OUT,
                f"{path.name}, the LoRA in Kohya format for other tools, is missing: {error}",
            )
            return []
        return [path]

    def _try_validation(self, models: "TrainingSession", prompt: str, lora_sha256: str) -> list[Path]:
        """The validation image. The LoRA is already saved, so a failure here only adds a remark."""
        try:
            return [self._generate_validation(models, prompt, lora_sha256)]
        except InterruptedRunError:
            raise
        except Exception as error:
            failure = translate(error)
            log.warning("the validation image failed", exc_info=isinstance(failure, InternalError))
            self._context.remarks.add(
                RemarkReason.VALIDATION_FAILED, f"The LoRA is finished, but has no validation image: {failure}"
            )
            return []

    def _generate_validation(self, models: "TrainingSession", prompt: str, lora_sha256: str) -> Path:
        document = self._context.document
        image = models.generate_validation_image(prompt)
        path = self._context.scratch / validation_file(document.name)
        metadata = validation_metadata(self._spec, prompt, models.base_model, lora_sha256, image.size)
        image.save(path, pnginfo=png_info(metadata))
        return path

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Make the model id refer to this run's weights."""
        document = self._context.document
        weights = next(file for file in files if file.name == LORA_FILE)
        record = ModelRecord(
            model_id=self._spec.model_id,
            weights_key=run_prefix(document.uid) + weights.name,
            sha256=weights.sha256,
            base_model=document.base_model,
            base_model_commit=self._base_model.commit if self._base_model else None,
            prompt=self._spec.prompt,
            job_uid=document.uid,
            created=datetime.now(UTC),
        )
        model_store.write_record(self._context.storage, document.namespace, record)

    def clean_up(self) -> None:
        self._checkpoints.clear()
