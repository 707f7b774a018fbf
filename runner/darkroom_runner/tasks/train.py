"""The training task: photos in, a LoRA out. Called by `lifecycle`.

torch and modules that need it are imported in another thread during `download`, and used in `load` and later: a job
with invalid photos waits for at most one of them.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training_choices import Optimizer
from darkroom_contract.storage.keys import LORA_FILE, ModelRecord, kohya_file, run_prefix
from darkroom_runner.errors import DatasetNotAllowedError, InvalidRunError, ModelIncompatibleError
from darkroom_runner.models import model_store, step_records
from darkroom_runner.models.kept_pipelines import KeptPipelines
from darkroom_runner.models.model_store import FetchedLora
from darkroom_runner.models.pretrained import PIPELINE_MODULES, SDXL, PretrainedModel, find_pretrained
from darkroom_runner.models.weight_files import read_ahead_if_cold
from darkroom_runner.run.context import RunContext, RunResult
from darkroom_runner.run.storage import sha256_of
from darkroom_runner.run.unused_parts import unused_parts_hidden
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.tasks.ignored_training_settings import (
    remark_on_base_model,
    remark_on_masks,
    remark_on_texts,
    remark_on_training,
)
from darkroom_runner.tasks.image_files import png_info
from darkroom_runner.tasks.output_metadata import lora_metadata, saved_step_metadata, validation_metadata
from darkroom_runner.tasks.training_images import TrainingImages
from darkroom_runner.training.checkpoints import Checkpoints
from darkroom_runner.training.dataset import Photo, fetch_datasets, require_allowed
from darkroom_runner.training.outputs import Outputs
from darkroom_runner.training.samples import Samples
from darkroom_runner.training.saved_steps import SavedSteps
from darkroom_runner.training.subjects import log_subjects, subjects_of

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from darkroom_runner.training.session import TrainingSession

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainInputs:
    """The validated input of a training."""

    photos: list[Photo]
    base_model: PretrainedModel
    others: dict[str, list[Photo]] = field(default_factory=dict)
    """The photos of the job's further datasets, by the path of their field."""
    initial_lora: FetchedLora | None = None
    """The LoRA to continue from."""


class TrainTask:
    """Train a LoRA on photos of a subject (DreamBooth)."""

    def __init__(self, context: RunContext, spec: TrainJobSpec, pipelines: KeptPipelines | None = None) -> None:
        self._context = context
        self._spec = spec
        self._pipelines = pipelines or KeptPipelines()
        storage, document, scratch = context.storage, context.document, context.scratch
        self._checkpoints = Checkpoints(storage, document, scratch)
        self._samples = Samples(storage, document, scratch, context.progress, context.remarks, context.credentials)
        self._saved_steps = SavedSteps(storage, document, spec, scratch, context.progress, context.remarks)
        self._started = datetime.now(UTC)
        self._base_model: UsedModel | None = None
        """Set once the base model is loaded."""

    @property
    def saved_step(self) -> int | None:
        return self._checkpoints.saved_step

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("torch", PIPELINE_MODULES[SDXL], "darkroom_runner.training.session")

    def download(self) -> TrainInputs:
        context, spec = self._context, self._spec
        if (contradiction := spec.contradiction) is not None:
            raise InvalidRunError(contradiction)
        self._require_allowed()
        model_store.check_model_id(spec.model_id)
        remark_on_training(spec, context.remarks)
        base_model = find_pretrained(context.document.base_model, SDXL, context.settings.model_root)
        read_ahead_if_cold(base_model.folder)
        masked = spec.training.masked_loss is not None
        photos = fetch_datasets(
            context.storage, spec.datasets, context.scratch, masked, context.remarks, context.on_step
        )
        subjects = subjects_of(spec, photos)  # Raises if too many photos are held out.
        log_subjects(subjects, masked)
        remark_on_masks(spec.training, (photo for each in photos.values() for photo in each), context.remarks)
        texts = (photo.caption or subject.prompt for subject in subjects for photo in subject.photos)
        remark_on_texts(spec.training, texts, context.remarks)
        return TrainInputs(photos.pop("dataset"), base_model, photos, self._fetch_initial_lora())

    def _fetch_initial_lora(self) -> FetchedLora | None:
        context, source = self._context, self._spec.training.initial_lora
        if source is None:
            return None
        policy = context.settings.dataset_policy
        return model_store.fetch_lora_source(
            context.storage, context.document.namespace, source, policy, context.scratch
        )

    def _require_allowed(self) -> None:
        """Check every address of the job before the first request."""
        namespace, policy = self._context.document.namespace, self._context.settings.dataset_policy
        for dataset in self._spec.datasets.values():
            require_allowed(dataset.uri, namespace, policy)
        for uri in self._spec.lora_uris:
            if (fault := policy.lora_fault(uri, namespace)) is not None:
                raise DatasetNotAllowedError(fault)

    def load(self, inputs: TrainInputs) -> "TrainingSession":
        from darkroom_runner.training.session import open_session

        # The training decides by the free memory how it computes.
        self._pipelines.drop()
        context = self._context
        return open_session(
            inputs.base_model,
            self._spec,
            context.progress,
            context.stop_signal,
            self._checkpoints,
            context.remarks,
            outputs=self._outputs(inputs.initial_lora),
            initial_lora=inputs.initial_lora,
        )

    def _outputs(self, initial_lora: FetchedLora | None) -> Outputs:
        spec = self._spec

        def describe_lora(base_model: UsedModel, step: int, held_out_loss: float | None) -> dict[str, str]:
            return saved_step_metadata(spec, base_model, step, held_out_loss) | _origin(initial_lora)

        def describe_sample(
            base_model: UsedModel, prompt: str, step: int, size_px: tuple[int, int], sampler: WebUiSampler
        ) -> "PngInfo":
            return png_info(validation_metadata(spec, prompt, base_model, size_px, step), sampler)

        return Outputs(self._samples, self._saved_steps, describe_lora, describe_sample)

    def execute(self, inputs: TrainInputs, models: "TrainingSession") -> RunResult:
        self._remark_on_origin(inputs.initial_lora, models.base_model)
        remark_on_base_model(self._spec.training, models.pipeline.scheduler.config, self._context.remarks)
        with unused_parts_of_training_hidden(self._spec):
            metrics = models.train(inputs.photos, inputs.others)
        weights = self._context.scratch / LORA_FILE
        self._base_model = models.base_model
        metadata = lora_metadata(self._spec, models.base_model) | _origin(inputs.initial_lora)
        models.save(weights, metadata)
        images = TrainingImages(self._context, self._spec, self._samples, models)
        image_files, training = images.generate(sha256_of(weights)), self._spec.training
        return RunResult(
            files=[weights, *self._save_kohya(models, metadata, images.first), *image_files],
            metrics=metrics,
            base_models=(models.base_model,),
            saved_steps=self._saved_steps.records() if training.save_steps or training.held_out_photos else (),
            samples=self._samples.names,
        )

    def _remark_on_origin(self, initial_lora: FetchedLora | None, used: UsedModel) -> None:
        record = None if initial_lora is None else initial_lora.record
        if initial_lora is not None and record is not None and record.trained_on.differs(used):
            self._context.remarks.add(
                RemarkReason.BASE_MODEL_DIFFERS,
                f"The training continues from {initial_lora.name!r}, "
                f"which was trained on {record.trained_on}, on {used}: it may have to learn much again. Set baseModel "
                "to the one that it was trained on.",
            )

    def _save_kohya(
        self, models: "TrainingSession", metadata: dict[str, str], thumbnail: "Image.Image | None"
    ) -> list[Path]:
        """The file in Kohya format. If the base model has no names in that format, the job still succeeds."""
        path = self._context.scratch / kohya_file(self._spec.model_id)
        try:
            models.save_kohya(path, metadata, thumbnail)
        except ModelIncompatibleError as error:
            self._context.remarks.add(
                RemarkReason.FILE_LEFT_OUT,
                f"{path.name}, the LoRA in Kohya format for other tools, is missing: {error}",
            )
            return []
        return [path]

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Make the model id refer to this run's weights."""
        from darkroom_runner.lora.file_hashes import kohya_tensors_sha256

        document = self._context.document
        weights = next(file for file in files if file.name == LORA_FILE)
        stored = [self._context.scratch / file.name for file in files]
        record = ModelRecord(
            model_id=self._spec.model_id,
            weights_key=run_prefix(document.uid) + weights.name,
            sha256=weights.sha256,
            kohya_tensors_sha256=kohya_tensors_sha256(stored, self._spec.model_id),
            base_model=document.base_model,
            base_model_commit=self._base_model.commit if self._base_model else None,
            prompt=self._spec.prompt,
            job_uid=document.uid,
            created=datetime.now(UTC),
        )
        model_store.write_record(self._context.storage, document.namespace, record)
        step_records.delete_earlier(self._context.storage, document.namespace, record, self._started)

    def clean_up(self) -> None:
        self._checkpoints.clear()


def _origin(initial_lora: FetchedLora | None) -> dict[str, str]:
    """Metadata of a LoRA that continues from another: that one's digest. The settings have its name."""
    return {} if initial_lora is None else {"darkroom.initialLoraSha256": initial_lora.sha256}


def unused_parts_of_training_hidden(spec: TrainJobSpec) -> AbstractContextManager[None]:
    """`unused_parts_hidden`, but not with bitsandbytes, which needs modules of torch's compiler."""
    return nullcontext() if spec.training.optimizer is Optimizer.ADAMW_8BIT else unused_parts_hidden()
