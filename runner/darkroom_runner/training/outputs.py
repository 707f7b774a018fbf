"""What a training shows and keeps while it runs: sample images, saved steps, and what their files say about themselves.

The train task makes it; `between_steps` uses it. Trainings without a job, as in benchmarks, have none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkroom_contract.base_models import UsedModel
from darkroom_runner.sampling.web_ui_samplers import WebUiSampler
from darkroom_runner.training.samples import Samples
from darkroom_runner.training.saved_steps import SavedSteps

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

LoraMetadata = Callable[[UsedModel, int, float | None], dict[str, str]]
"""The header of a LoRA file: of a base model and step, with the held-out loss where it is known."""

SampleInfo = Callable[[UsedModel, str, int, tuple[int, int], WebUiSampler], "PngInfo"]
"""The metadata of a sample image: of a base model, prompt, step, size in pixels, and sampler."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of one training."""

    samples: Samples
    saved_steps: SavedSteps
    lora_metadata: LoraMetadata
    sample_info: SampleInfo
