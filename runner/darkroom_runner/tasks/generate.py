"""The generation task: images from a prompt, then optionally a clip. Called by `lifecycle`.

The clip begins with the first image, or with the user's own (`video.startImage`); with `images.count` 0 the job makes
only the clip, and neither loads nor looks up SDXL and LoRAs.

torch and modules that need it are imported in another thread during `download`, and used in `load` and later: a job
with an unknown model waits for at most one of them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from darkroom_contract.base_models import UsedModel
from darkroom_contract.outcome import OutcomeFile
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.errors import InvalidRunError, NonFiniteOutputError
from darkroom_runner.models import model_store
from darkroom_runner.models.kept_pipelines import KeptPipelines
from darkroom_runner.models.model_store import FetchedLora
from darkroom_runner.models.pretrained import PIPELINE_MODULES, SDXL, SVD, PretrainedModel, find_pretrained
from darkroom_runner.models.weight_files import read_ahead_if_cold
from darkroom_runner.run.context import RunContext, RunResult
from darkroom_runner.tasks.few_step_loras import remark_on_few_steps
from darkroom_runner.tasks.ignored_settings import remark_on_generation
from darkroom_runner.tasks.start_files import ClipStart, ClipStartFile, StartFiles, fetch_clip_start, fetch_start_files

if TYPE_CHECKING:
    from darkroom_runner.tasks.text_to_image import GeneratedImage, TextToImage


IMAGE_LIBRARIES = ("torch", PIPELINE_MODULES[SDXL], "darkroom_runner.tasks.text_to_image")
CLIP_LIBRARIES = ("torch", PIPELINE_MODULES[SVD], "darkroom_runner.tasks.image_to_video")


@dataclass(frozen=True)
class GenerateInputs:
    """The validated input of a generation."""

    base_model: PretrainedModel | None
    """None for a job without images."""
    video_model: PretrainedModel | None
    """Located at the start, so that a wrong name fails before the images are generated; loaded after them."""
    loras: tuple[FetchedLora, ...] = ()
    """In the order of the job's `used_loras`."""
    start: StartFiles | None = None
    clip_start: ClipStartFile | None = None


class GenerateTask:
    """Generate images (SDXL) and optionally a short clip of the first (SVD)."""

    def __init__(self, context: RunContext, spec: GenerateJobSpec, pipelines: KeptPipelines | None = None) -> None:
        self._context = context
        self._spec = spec
        self._pipelines = pipelines or KeptPipelines()

    @property
    def saved_step(self) -> int | None:
        """None: a generation has no checkpoints."""
        return None

    @property
    def libraries(self) -> tuple[str, ...]:
        return IMAGE_LIBRARIES if self._spec.images.count else CLIP_LIBRARIES

    def download(self) -> GenerateInputs:
        if (contradiction := self._spec.contradiction) is not None:
            raise InvalidRunError(contradiction)
        remark_on_generation(self._spec, self._context.remarks)
        document, root = self._context.document, self._context.settings.model_root
        base_model = find_pretrained(document.base_model, SDXL, root) if self._spec.images.count else None
        video_model = find_pretrained(document.video_base_model, SVD, root) if self._spec.allow_motion else None
        if (first := base_model or video_model) is not None:
            read_ahead_if_cold(first.folder)
        clip_start = fetch_clip_start(self._context, self._spec)
        if base_model is None:
            return GenerateInputs(None, video_model, clip_start=clip_start)
        loras = self._fetch_loras(base_model.used())
        remark_on_few_steps(self._spec, loras, self._context.remarks)
        start = fetch_start_files(self._context, self._spec)
        return GenerateInputs(base_model, video_model, loras, start, clip_start)

    def load(self, inputs: GenerateInputs) -> "TextToImage | None":
        """SDXL with sampler and LoRAs; None for a job without images."""
        if inputs.base_model is None:
            return None
        from darkroom_runner.tasks.text_to_image import load_text_to_image

        models = load_text_to_image(
            self._context,
            self._spec,
            inputs.base_model,
            inputs.loras,
            start=inputs.start,
            pipelines=self._pipelines,
        )
        for lora in inputs.loras:
            if not _differs(lora, inputs.base_model.used()):
                # The commit that a hub branch or tag refers to is known only after loading.
                self._remark_on_base_model(lora, models.base_model)
        return models

    def execute(self, inputs: GenerateInputs, models: "TextToImage | None") -> RunResult:
        if models is None:
            return self._clip(inputs, None)
        images, metrics = models.generate()
        files = [*(image.path for image in images), *models.save_grid(images)]
        result = RunResult(files, metrics, (models.base_model,))
        if inputs.video_model is None:
            return result
        models.release()
        return self._with_clip(result, inputs, images[0])

    def _with_clip(self, result: RunResult, inputs: GenerateInputs, image: "GeneratedImage") -> RunResult:
        try:
            clip = self._clip(inputs, image)
        except NonFiniteOutputError as error:
            self._context.remarks.add(RemarkReason.CLIP_LEFT_OUT, f"The job has no clip. {error}")
            return result
        return RunResult(
            [*result.files, *clip.files], {**result.metrics, **clip.metrics}, (*result.base_models, *clip.base_models)
        )

    def _clip(self, inputs: GenerateInputs, image: "GeneratedImage | None") -> RunResult:
        """The clip alone. Raises `NonFiniteOutputError`."""
        from darkroom_runner.models.device import find_device
        from darkroom_runner.tasks.image_to_video import generate_clip

        if inputs.video_model is None:
            raise InvalidRunError("The job makes neither images nor a clip.")
        start = _clip_start(inputs, image)
        clip = generate_clip(self._context, self._spec, find_device(), inputs.video_model, start, self._pipelines)
        return RunResult([clip.path], clip.metrics, (clip.video_model,))

    def publish(self, files: tuple[OutcomeFile, ...]) -> None:
        """Nothing to do: images are found by the run that generated them."""

    def clean_up(self) -> None:
        """Nothing to delete."""

    def _fetch_loras(self, base_model: UsedModel) -> tuple[FetchedLora, ...]:
        context = self._context
        namespace, policy = context.document.namespace, context.settings.dataset_policy
        fetched = []
        for use in self._spec.used_loras:
            lora = model_store.fetch_lora_source(context.storage, namespace, use, policy, context.scratch)
            self._remark_on_base_model(lora, base_model)
            fetched.append(lora)
        return tuple(fetched)

    def _remark_on_base_model(self, lora: FetchedLora, used: UsedModel) -> None:
        if lora.record is not None and _differs(lora, used):
            self._context.remarks.add(
                RemarkReason.BASE_MODEL_DIFFERS,
                f"Model {lora.name!r} was trained on {lora.record.trained_on} and used here on {used}: the "
                "subject may be less recognisable. Set baseModel to the one that it was trained on.",
            )


def _clip_start(inputs: GenerateInputs, image: "GeneratedImage | None") -> ClipStart:
    """The user's own image if the job has one, or else the job's first."""
    if inputs.clip_start is not None:
        return inputs.clip_start.read()
    if image is None:
        raise InvalidRunError("The clip has no first frame: set video.startImage, or images.count to 1 or more.")
    return ClipStart(image.image, {"picture": image.metadata})


def _differs(lora: FetchedLora, used: UsedModel) -> bool:
    """Whether a LoRA is known to be of another base model; files by URI don't say reliably."""
    return lora.record is not None and bool(lora.record.base_model) and lora.record.trained_on.differs(used)
