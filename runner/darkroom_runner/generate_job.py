"""A generation run: a prompt in, pictures and perhaps a clip out. Driven by `lifecycle`.

Torch and what needs it are imported by `load` and `work`: an unknown model is told within a second.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.specs import GenerateJobSpec
from darkroom_contract.storage import ModelRecord
from darkroom_runner import base_models, model_store
from darkroom_runner.errors import InvalidRunError
from darkroom_runner.jobs import Product, Workbench

if TYPE_CHECKING:
    from darkroom_runner.drawing import DrawingSession


@dataclass(frozen=True)
class Lora:
    """A trained model, fetched."""

    record: ModelRecord
    path: Path


class GenerateJob:
    """Make pictures from a prompt, and when asked a short video of the first."""

    def __init__(self, bench: Workbench, spec: GenerateJobSpec) -> None:
        self._bench = bench
        self._spec = spec

    def download(self) -> Lora | None:
        self._check_video_guidance()
        if self._spec.model_id is None:
            return None
        storage, document = self._bench.storage, self._bench.document
        record = model_store.read_record(storage, document.namespace, self._spec.model_id)
        return Lora(record, model_store.fetch_weights(storage, record, self._bench.scratch))

    def load(self, inputs: Lora | None) -> "DrawingSession":
        document, root = self._bench.document, self._bench.settings.model_root
        model = base_models.locate(document.base_model, base_models.SDXL, root)
        video = None
        if self._spec.allow_motion:
            # Found now, so that a wrong name doesn't cost the drawing of the pictures; loaded after them.
            video = base_models.locate(document.video_base_model, base_models.SVD, root)
        from darkroom_runner.drawing import open_session

        return open_session(self._bench, self._spec, model, video, inputs)

    def work(self, inputs: Lora | None, models: "DrawingSession") -> Product:
        pictures, metrics = models.draw()
        files = [picture.path for picture in pictures]
        if self._spec.allow_motion:
            clip, clip_metrics = models.animate(pictures[0])
            files, metrics = [*files, clip], {**metrics, **clip_metrics}
        return Product(files, metrics, self._remark(inputs))

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Pictures are known by the run that made them; there is nothing to add."""

    def _check_video_guidance(self) -> None:
        """SVD decides by the last frame's scale whether it guides at all."""
        video = self._spec.video
        if self._spec.allow_motion and video.min_guidance_scale > 1 >= video.max_guidance_scale:
            raise InvalidRunError(
                f"video.minGuidanceScale is {video.min_guidance_scale:g} while video.maxGuidanceScale, "
                f"{video.max_guidance_scale:g}, turns guidance off. Raise the latter above 1 or lower the former."
            )

    def _remark(self, inputs: Lora | None) -> str:
        base_model = self._bench.document.base_model
        if inputs is None or inputs.record.base_model == base_model:
            return ""
        return (
            f"Model {inputs.record.model_id!r} was trained on {inputs.record.base_model!r} and used here on "
            f"{base_model!r}: the subject may come out weaker."
        )
