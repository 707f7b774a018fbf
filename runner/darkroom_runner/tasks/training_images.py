"""The images of a finished training: one of each validation prompt, and the sheet of all samples. Called by `train`.

The LoRA is already saved, so a failure here only adds a remark.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.storage.keys import validation_file
from darkroom_runner.errors import InternalError, InterruptedRunError, translate
from darkroom_runner.run.context import RunContext
from darkroom_runner.tasks.image_files import png_info
from darkroom_runner.tasks.output_metadata import validation_metadata
from darkroom_runner.training.samples import Samples

if TYPE_CHECKING:
    from PIL import Image

    from darkroom_runner.training.session import TrainingSession

log = logging.getLogger(__name__)


class TrainingImages:
    """Generates the validation images of a training and draws its sheet."""

    def __init__(self, context: RunContext, spec: TrainJobSpec, samples: Samples, models: "TrainingSession") -> None:
        self._context = context
        self._spec = spec
        self._samples = samples
        self._models = models
        self.first: Image.Image | None = None
        """The image of the first prompt that could be generated."""

    def generate(self, lora_sha256: str) -> list[Path]:
        """The files: the validation images, then the sheet. Raises `InterruptedRunError`."""
        prompts = self._spec.training.prompts_to_validate
        files = []
        for number in range(len(prompts)):
            path = self._try(partial(self._validate, number, lora_sha256), "no validation image")
            files += [] if path is None else [path]
        if self._spec.training.validation_steps and prompts:
            self._samples.publish()
            sheet = self._try(self._draw_sheet, "no sheet of samples")
            files += [] if sheet is None else [sheet]
        return files

    def _try(self, make: Callable[[], Path | None], missing: str) -> Path | None:
        try:
            return make()
        except InterruptedRunError:
            raise
        except Exception as error:
            failure = translate(error)
            log.warning("the LoRA is saved, but there is %s", missing, exc_info=isinstance(failure, InternalError))
            self._context.remarks.add(
                RemarkReason.VALIDATION_FAILED, f"The LoRA is finished, but has {missing}: {failure}"
            )
            return None

    def _validate(self, number: int, lora_sha256: str) -> Path:
        spec, prompts = self._spec, self._spec.training.prompts_to_validate
        image = self._models.generate_validation_image(prompts[number], number, len(prompts))
        path = self._context.scratch / validation_file(self._context.document.name, number)
        metadata = validation_metadata(
            spec, prompts[number], self._models.base_model, image.size, spec.max_steps, lora_sha256
        )
        info = png_info(metadata, self._models.sampler)
        image.save(path, pnginfo=info)
        self.first = self.first or image
        if spec.training.validation_steps and not self._samples.has(spec.max_steps, number):
            self._samples.add(spec.max_steps, number, image, info)
        return path

    def _draw_sheet(self) -> Path | None:
        training, last = self._spec.training, self._spec.max_steps
        steps = [*range(training.validation_steps, last, training.validation_steps), last]
        path = self._context.scratch / self._samples.sheet_file()
        return path if self._samples.draw_sheet(training.prompts_to_validate, steps, path) else None
