"""A generation run: a prompt in, pictures and perhaps a clip out. Driven by `lifecycle`.

Torch and what needs it are imported by `load` and `work`: an unknown model is told within a second.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs import GenerateJobSpec
from darkroom_contract.storage import ModelRecord
from darkroom_runner import model_store
from darkroom_runner.base_models import SDXL, SVD, BaseModel, locate
from darkroom_runner.errors import InvalidRunError, NonFiniteOutputError
from darkroom_runner.ignored_settings import remark_on_generation
from darkroom_runner.jobs import Product, Workbench

if TYPE_CHECKING:
    from darkroom_runner.drawing import DrawingSession


@dataclass(frozen=True)
class Lora:
    """A trained model, fetched."""

    record: ModelRecord
    path: Path


@dataclass(frozen=True)
class GenerateInputs:
    """What a generation begins with."""

    base_model: BaseModel
    video_model: BaseModel | None
    """Found at the start, so that a wrong name doesn't cost the drawing of the pictures; loaded after them."""
    lora: Lora | None


class GenerateJob:
    """Make pictures from a prompt, and when asked a short video of the first."""

    def __init__(self, bench: Workbench, spec: GenerateJobSpec) -> None:
        self._bench = bench
        self._spec = spec

    @property
    def saved_step(self) -> int | None:
        """None: a generation begins anew."""
        return None

    def download(self) -> GenerateInputs:
        if (contradiction := self._spec.contradiction) is not None:
            raise InvalidRunError(contradiction)
        remark_on_generation(self._spec, self._bench.remarks)
        document, root = self._bench.document, self._bench.settings.model_root
        base_model = locate(document.base_model, SDXL, root)
        return GenerateInputs(
            base_model=base_model,
            video_model=locate(document.video_base_model, SVD, root) if self._spec.allow_motion else None,
            lora=self._fetch_lora(self._spec.model_id, base_model.used()) if self._spec.model_id is not None else None,
        )

    def load(self, inputs: GenerateInputs) -> "DrawingSession":
        from darkroom_runner.drawing import open_session

        session = open_session(self._bench, self._spec, inputs)
        if inputs.lora is not None and not inputs.lora.record.trained_on.differs(inputs.base_model.used()):
            # Only now is it known which commit a branch or tag of the hub means.
            self._remark_on_base_model(inputs.lora.record, session.base_model)
        return session

    def work(self, inputs: GenerateInputs, models: "DrawingSession") -> Product:
        pictures, metrics = models.draw()
        files, used = [picture.path for picture in pictures], [models.base_model]
        if inputs.video_model is not None:
            try:
                clip, clip_metrics, video_model = models.animate(pictures[0], inputs.video_model)
            except NonFiniteOutputError as error:
                self._bench.remarks.add(RemarkReason.CLIP_LEFT_OUT, f"The job has no clip. {error}")
            else:
                files, metrics = [*files, clip], {**metrics, **clip_metrics}
                used.append(video_model)
        return Product(files, metrics, tuple(used))

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Pictures are known by the run that made them; there is nothing to add."""

    def tidy(self) -> None:
        """Nothing is left behind."""

    def _fetch_lora(self, model_id: str, base_model: UsedModel) -> Lora:
        storage = self._bench.storage
        record = model_store.read_record(storage, self._bench.document.namespace, model_id)
        self._remark_on_base_model(record, base_model)
        return Lora(record, model_store.fetch_weights(storage, record, self._bench.scratch))

    def _remark_on_base_model(self, record: ModelRecord, used: UsedModel) -> None:
        if record.trained_on.differs(used):
            self._bench.remarks.add(
                RemarkReason.BASE_MODEL_DIFFERS,
                f"Model {record.model_id!r} was trained on {record.trained_on} and used here on {used}: the "
                "subject may come out weaker. Set baseModel to the one that it was trained on.",
            )
