"""Images with SDXL: loads the pipeline with sampler and LoRAs, generates, saves and stores the images.

Called by `generate`. An image is in storage, and announced, before the next one begins.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from darkroom_contract.base_models import UsedModel
from darkroom_contract.lora_names import LoraKind
from darkroom_contract.plan import image_steps
from darkroom_contract.progress import FinishedImage, Stage
from darkroom_contract.remarks import RemarkReason
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.keys import grid_file, image_file
from darkroom_runner.errors import ImageInvalidError, ModelIncompatibleError, NonFiniteOutputError
from darkroom_runner.lora.file_hashes import web_ui_hash
from darkroom_runner.lora.foreign_files import LoraFile
from darkroom_runner.lora.loading import LoraToLoad, load_loras
from darkroom_runner.models.device import Device, find_device, free_memory
from darkroom_runner.models.kept_pipelines import KeptPipelines
from darkroom_runner.models.model_store import FetchedLora
from darkroom_runner.models.pretrained import PretrainedModel
from darkroom_runner.run.context import RunContext
from darkroom_runner.run.remarks import Remarks
from darkroom_runner.run.start_clock import StartClock
from darkroom_runner.sampling.image_to_image import strength_arguments
from darkroom_runner.sampling.non_finite import has_finite_weights, retry_in_float32
from darkroom_runner.sampling.picture_size import Size, image_size
from darkroom_runner.sampling.preview import Previews
from darkroom_runner.sampling.prompt_embeddings import check_prompts
from darkroom_runner.sampling.schedulers import build_sampler
from darkroom_runner.sampling.sdxl import generate_image
from darkroom_runner.sampling.start_picture import StartPicture, fit_remark
from darkroom_runner.sampling.timestep_spacing import check_steps, ensure_starts_from_noise
from darkroom_runner.sampling.web_ui_samplers import web_ui_sampler
from darkroom_runner.tasks.image_files import save_grid, save_image
from darkroom_runner.tasks.output_metadata import grid_metadata, image_metadata
from darkroom_runner.tasks.start_files import StartFiles
from darkroom_runner.unet_cache.context import CacheReport

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneratedImage:
    """An image that was generated and saved."""

    path: Path
    image: Image.Image
    metadata: dict[str, Any]


@dataclass(frozen=True)
class TextToImage:
    """SDXL with sampler and LoRAs, loaded on a device."""

    context: RunContext
    spec: GenerateJobSpec
    device: Device
    pipeline: Any
    loras: tuple[FetchedLora, ...]
    base_model: UsedModel
    start: StartPicture | None = None
    start_sha256: Mapping[str, str] = field(default_factory=dict)
    """Digests of the start image and the mask by their field."""
    pipelines: KeptPipelines = field(default_factory=KeptPipelines)

    def generate(self) -> tuple[list[GeneratedImage], dict[str, float]]:
        """Generate, save and store all images; also returns the outcome's metrics.

        Images that are not finite are skipped with the remark `PictureLeftOut`. Raises `NonFiniteOutputError` if that
        leaves none.
        """
        settings = self.spec.images
        steps = settings.count * sum(image_steps(self.spec))
        self.context.progress.enter(Stage.DENOISING, steps)
        previews = Previews(settings.preview_steps, self.context.progress.preview)
        started, images, failures = time.monotonic(), list[GeneratedImage](), dict[int, str]()
        passes = CacheReport()
        for index in range(settings.count):
            try:
                images.append(self._generate_one(index, previews, passes))
            except NonFiniteOutputError as error:
                failures[settings.seed + index] = str(error)
                log.warning("%s", error)
                free_memory()
        self._remark_skipped(failures, images)
        seconds = time.monotonic() - started
        log.info("generated %d images in %.1f s", len(images), seconds)
        metrics = {"pictures": len(images), "secondsPerStep": seconds / steps}
        return images, metrics | passes.metrics("unetPasses", "unetFullPasses")

    def _remark_skipped(self, failures: dict[int, str], images: list[GeneratedImage]) -> None:
        if failures and not images:
            raise NonFiniteOutputError(next(iter(failures.values())))
        if failures:
            seeds = ", ".join(map(str, failures))
            self.context.remarks.add(
                RemarkReason.PICTURE_LEFT_OUT,
                f"{len(failures)} of {self.spec.images.count} images were skipped (seed {seeds}): "
                f"{next(iter(failures.values()))}",
            )

    def _generate_one(self, index: int, previews: Previews, passes: CacheReport) -> GeneratedImage:
        """Image number `index` of the job, from 0. `passes` counts those of the U-Net, repeated ones too."""
        settings, context = self.spec.images, self.context
        seed = settings.seed + index
        on_step = partial(context.on_part_step, index, settings.count)
        image = retry_in_float32(
            self.pipeline,
            lambda: generate_image(self.pipeline, self.spec, seed, on_step, self.start, previews, passes),
            f"The image of seed {seed}",
            context.remarks,
        )
        digests = [lora.sha256 for lora in self.loras]
        metadata = image_metadata(
            self.spec, self.base_model, digests, seed, image.size, self.start_sha256, self._lora_hashes
        )
        path = context.scratch / image_file(context.document.name, seed, settings.format.suffix)
        save_image(image, path, metadata, settings, web_ui_sampler(self.pipeline.scheduler))
        self._publish(path, seed)
        return GeneratedImage(path, image, metadata)

    def _publish(self, path: Path, seed: int) -> None:
        """Store a saved image at once, so that it can be seen while the job makes the others."""
        stored = self.context.results.store(path)
        self.context.progress.finish_image(
            FinishedImage(seed=seed, bytes=stored.bytes, sha256=stored.sha256), stored.name
        )

    @cached_property
    def _lora_hashes(self) -> list[str]:
        return [_web_ui_hash(lora) for lora in self.loras]

    def save_grid(self, images: Sequence[GeneratedImage]) -> list[Path]:
        """The file of all images in one, if the job asks for it and there are several."""
        settings, context = self.spec.images, self.context
        if not settings.grid or len(images) < 2:
            return []
        path = context.scratch / grid_file(context.document.name, settings.format.suffix)
        metadata = grid_metadata([image.metadata for image in images])
        save_grid([image.image for image in images], path, metadata, settings, web_ui_sampler(self.pipeline.scheduler))
        return [path]

    def release(self) -> None:
        """Free the pipeline's memory for another model. No image can be generated afterwards."""
        self.pipelines.release(self.pipeline, self.device)


def _web_ui_hash(lora: FetchedLora) -> str:
    """A trained model is found by the hash of its file in Kohya format: other tools can't read the one used here."""
    recorded = lora.record.kohya_tensors_sha256 if lora.record else None
    return recorded or web_ui_hash(lora.path, lora.metadata)


def load_text_to_image(
    context: RunContext,
    spec: GenerateJobSpec,
    base_model: PretrainedModel,
    loras: tuple[FetchedLora, ...] = (),
    device: Device | None = None,
    start: StartFiles | None = None,
    pipelines: KeptPipelines | None = None,
) -> TextToImage:
    """Load the base model with its sampler and LoRAs. `device` defaults to `find_device()`.

    Everything that the base model can't do with these settings is refused here, before the first step.
    """
    device, remarks, pipelines = device or find_device(), context.remarks, pipelines or KeptPipelines()
    picture = start.read(remarks) if start else None
    scaled = [LoraToLoad(lora.path, use.scale, lora.name) for lora, use in zip(loras, spec.used_loras, strict=True)]
    pipeline = load_inference_pipeline(pipelines, base_model, device, scaled, remarks, context.progress.start)
    _require_plain_unet(pipeline, base_model)
    check_prompts(pipeline, spec, remarks)
    pipeline.scheduler = _sampler(pipeline, spec, remarks)
    if picture is not None:
        _check_fit(picture, image_size(pipeline, spec.images, picture.image.size), remarks)
    used = base_model.used(pipeline)
    digests = start.sha256 if start else {}
    return TextToImage(context, spec, device, pipeline, loras, used, picture, digests, pipelines)


def _check_fit(picture: StartPicture, size_px: Size, remarks: Remarks) -> None:
    """Add a remark on what the result's size crops or pads. Raises `ImageInvalidError` if it leaves no mask."""
    fitting = fit_remark(picture.image.size, size_px, picture.fit)
    if fitting is not None:
        remarks.add(*fitting)
    if picture.fitted(size_px).paints_nothing:
        width, height = size_px
        raise ImageInvalidError(
            f"Nothing is left of the mask at the result's {width}×{height} pixels: its painted part is cropped away or "
            "too small. Paint a larger part, set startImage.fit to Pad, or omit images.width and images.height."
        )


def _sampler(pipeline: Any, spec: GenerateJobSpec, remarks: Remarks) -> Any:
    """The sampler for both passes, tested with the number of steps of each."""
    steps = spec.images.steps
    if spec.start_image is not None:
        steps = strength_arguments(steps, spec.start_image.strength)["num_inference_steps"]
    sampler = build_sampler(pipeline.scheduler, spec.images.scheduler, steps, remarks)
    sampler = ensure_starts_from_noise(sampler, steps, "images.steps", remarks)
    if (upscale := spec.upscale) is not None:
        whole = strength_arguments(upscale.steps or spec.images.steps, upscale.strength)["num_inference_steps"]
        check_steps(sampler, whole, "images.steps" if upscale.steps is None else "upscale.steps")
    return sampler


def _require_plain_unet(pipeline: Any, base_model: PretrainedModel) -> None:
    """Inpainting models take mask and picture as five more channels, and can't do anything else."""
    channels = pipeline.unet.config.in_channels
    if channels != pipeline.vae.config.latent_channels:
        raise ModelIncompatibleError(
            f"The U-Net of the base model {base_model.name!r} has {channels} input channels: it is made for inpainting "
            "only. Use a plain SDXL model, such as stabilityai/stable-diffusion-xl-base-1.0: masks work with it."
        )


def load_inference_pipeline(
    pipelines: KeptPipelines,
    model: PretrainedModel,
    device: Device,
    loras: Sequence[LoraToLoad],
    remarks: Remarks,
    clock: StartClock | None = None,
) -> Any:
    """A pipeline with its LoRAs, in the device's precision, or in float32 if half precision overflows its weights.

    Float32 then applies to the whole job, since every image would be NaN in half precision.
    """
    pipeline = pipelines.load(model, device, clock)
    if loras:
        _remark_converted(load_loras(pipeline, loras), remarks)
    if device.inference_dtype == torch.float32 or has_finite_weights(pipeline):
        return pipeline
    pipelines.release(pipeline, device)
    remarks.add(
        RemarkReason.DRAWN_AGAIN,
        f"Weights of {model.name!r} or its LoRA exceed half precision's range: everything is generated in float32.",
    )
    device = replace(device, inference_dtype=torch.float32)
    return load_inference_pipeline(pipelines, model, device, loras, remarks, clock)


def _remark_converted(files: list[LoraFile], remarks: Remarks) -> None:
    """LyCORIS's kinds have no adapters of their own here; other conversions change names only."""
    for file in files:
        kinds = [kind.value for kind in file.kinds if kind is not LoraKind.LORA]
        if kinds:
            remarks.add(
                RemarkReason.LORA_CONVERTED,
                f"LoRA {file.name!r} ({', '.join(kinds)}) was added to the base model's weights: all "
                f"{len(file.changes)} layers.",
            )
