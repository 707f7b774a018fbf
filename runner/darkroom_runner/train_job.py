"""A training run: photos in, a LoRA out. Driven by `lifecycle`.

Torch and what needs it are imported by `load` and `work`, not before: bad photos are told within a second.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import TrainJobSpec
from darkroom_contract.storage import LORA_FILE, ModelRecord, kohya_file, run_prefix, validation_file
from darkroom_runner import model_store
from darkroom_runner.base_models import SDXL, BaseModel, locate
from darkroom_runner.checkpoints import Checkpoints
from darkroom_runner.dataset import Photo, fetch_photos, remark_upscaled, require_allowed
from darkroom_runner.errors import InternalError, InterruptedRunError, ModelIncompatibleError, translate
from darkroom_runner.ignored_settings import remark_on_training
from darkroom_runner.jobs import Product, Workbench
from darkroom_runner.metadata import lora_facts, png_info, validation_facts
from darkroom_runner.storage import sha256_of

if TYPE_CHECKING:
    from darkroom_runner.training.session import TrainingSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainInputs:
    """What a training begins with."""

    photos: list[Photo]
    base_model: BaseModel


class TrainJob:
    """Learn a subject from photos."""

    def __init__(self, bench: Workbench, spec: TrainJobSpec) -> None:
        self._bench = bench
        self._spec = spec
        self._checkpoints = Checkpoints(bench.storage, bench.document, bench.scratch)
        self._base_model: UsedModel | None = None
        """As it was loaded."""

    @property
    def saved_step(self) -> int | None:
        return self._checkpoints.saved_step

    def download(self) -> TrainInputs:
        bench, uri = self._bench, self._spec.dataset.uri
        require_allowed(uri, bench.document.namespace, bench.settings.dataset_policy)
        model_store.check_model_id(self._spec.model_id)
        remark_on_training(self._spec, self._bench.remarks)
        base_model = locate(self._bench.document.base_model, SDXL, self._bench.settings.model_root)
        photos = fetch_photos(bench.storage, uri, bench.scratch, bench.remarks, self._checked)
        return TrainInputs(photos, base_model)

    def _checked(self, photos: int, total: int) -> None:
        self._bench.interruption.check()
        self._bench.progress.step(photos, total)

    def load(self, inputs: TrainInputs) -> "TrainingSession":
        from darkroom_runner.training.session import open_session

        bench = self._bench
        return open_session(
            inputs.base_model, self._spec, bench.progress, bench.interruption, self._checkpoints, bench.remarks
        )

    def work(self, inputs: TrainInputs, models: "TrainingSession") -> Product:
        remark_upscaled(inputs.photos, models.side_px, self._bench.remarks)
        metrics = models.learn(inputs.photos)
        weights = self._bench.scratch / LORA_FILE
        self._base_model = models.base_model
        facts = lora_facts(self._spec, models.base_model)
        models.save(weights, facts)
        files = [weights, *self._save_kohya(models, facts)]
        prompt = self._spec.training.validation_prompt
        if prompt is not None:
            files += self._try_validation(models, prompt, sha256_of(weights))
        return Product(files, metrics, (models.base_model,))

    def _save_kohya(self, models: "TrainingSession", facts: dict[str, str]) -> list[Path]:
        """The second file. Where it can't be written, the LoRA itself is still of use."""
        path = self._bench.scratch / kohya_file(self._spec.model_id)
        try:
            models.save_kohya(path, facts)
        except ModelIncompatibleError as error:
            self._bench.remarks.add(
                RemarkReason.FILE_LEFT_OUT, f"{path.name}, the LoRA in Kohya form for other tools, is left out: {error}"
            )
            return []
        return [path]

    def _try_validation(self, models: "TrainingSession", prompt: str, lora_sha256: str) -> list[Path]:
        """The validation picture. The LoRA is finished: whatever goes wrong here costs the picture alone."""
        try:
            return [self._draw_validation(models, prompt, lora_sha256)]
        except InterruptedRunError:
            raise
        except Exception as error:
            failure = translate(error)
            log.warning("no validation picture", exc_info=isinstance(failure, InternalError))
            self._bench.remarks.add(
                RemarkReason.VALIDATION_FAILED, f"The LoRA is finished, but has no validation picture: {failure}"
            )
            return []

    def _draw_validation(self, models: "TrainingSession", prompt: str, lora_sha256: str) -> Path:
        document = self._bench.document
        picture = models.draw_validation(prompt)
        path = self._bench.scratch / validation_file(document.name)
        facts = validation_facts(self._spec, prompt, models.base_model, lora_sha256, picture.size)
        picture.save(path, pnginfo=png_info(facts))
        return path

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        document = self._bench.document
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
        model_store.write_record(self._bench.storage, document.namespace, record)

    def tidy(self) -> None:
        self._checkpoints.clear()
