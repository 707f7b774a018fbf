"""Generates an image with an SDXL pipeline: from a prompt, or from a start image; optionally with an upscaling pass.

Images are generated one at a time, each with a generator of its own: image n of a job is then bit-identical to the
image that its seed gives alone. At SDXL's size one image fills a GPU, and batches would gain little.
"""

from dataclasses import dataclass
from typing import Any

from diffusers import TCDScheduler
from PIL import Image, ImageOps

from darkroom_contract.plan import VALIDATION_GUIDANCE_SCALE, VALIDATION_STEPS, denoising_steps, image_steps
from darkroom_contract.specs.generate_job import GenerateJobSpec, Upscale
from darkroom_runner.models.device import generator
from darkroom_runner.sampling.image_to_image import encode_picture, image_to_image_pipeline, strength_arguments
from darkroom_runner.sampling.picture_size import Size, image_size, upscaled_size
from darkroom_runner.sampling.preview import ImagePreviews, Previews
from darkroom_runner.sampling.prompt_embeddings import prompt_arguments
from darkroom_runner.sampling.start_picture import StartPicture
from darkroom_runner.sampling.step_callback import OnStep, StepCallback, step_callback
from darkroom_runner.sampling.vae_format import set_vae_format
from darkroom_runner.sampling.vae_tiling import vae_tiling
from darkroom_runner.unet_cache.context import CacheReport, unet_cache

TCD_ETA = 0.3
_UPSCALING = 1
"""Purpose of the generator of the upscaling pass: its noise is not that of the first pass."""


def generate_image(
    pipeline: Any,
    spec: GenerateJobSpec,
    seed: int,
    on_step: OnStep,
    start: StartPicture | None = None,
    previews: Previews | None = None,
    report: CacheReport | None = None,
) -> Image.Image:
    """The image of one seed; `start` is the start image and its mask, of any size.

    Steps of both passes are counted together. With a mask, the result outside of it is the start image. The passes of
    the U-Net are added to `report`.
    """
    set_vae_format(pipeline, is_fast=spec.cache.enabled)
    first, second = (_evaluations(pipeline.scheduler, steps) for steps in image_steps(spec))
    size_px = image_size(pipeline, spec.images, start.image.size if start else None)
    passes = _Passes(pipeline, spec, prompt_arguments(pipeline, spec), report)
    callback = step_callback(lambda n, m: on_step(n, m + second), _previews(previews, seed))
    image = passes.first(start.fitted(size_px) if start else None, size_px, seed, callback)
    if spec.upscale is None:
        return image
    callback = step_callback(lambda n, m: on_step(first + n, first + m), _previews(previews, seed, first))
    image = passes.upscale(image, spec.upscale, seed, callback)
    return start.fitted(image.size).paste_back(image) if start else image


def _previews(previews: Previews | None, seed: int, steps_before: int = 0) -> ImagePreviews | None:
    return None if previews is None else previews.of_image(seed, steps_before)


def _evaluations(scheduler: Any, steps: int) -> int:
    """Timesteps of a pass: second-order samplers, such as Heun, have 2n - 1."""
    order: int = scheduler.order
    return max(steps * order - (order - 1), 0)


@dataclass(frozen=True)
class _Passes:
    """Passes of the pipelines with the settings of one job, each through the cache as the job asks for it."""

    pipeline: Any
    spec: GenerateJobSpec
    prompts: dict[str, Any]
    report: CacheReport | None

    def first(self, start: StartPicture | None, size_px: Size, seed: int, callback: StepCallback) -> Image.Image:
        images, settings = self.spec.images, self.spec.start_image
        strength = settings.strength if settings else 1.0
        with vae_tiling(self.pipeline, images.vae_tiling, size_px):
            # At strength 1 diffusers' image to image still starts from the picture with noise added to it.
            if start is None or (start.mask is None and strength >= 1):
                width, height = size_px
                given = {"width": width, "height": height, "num_inference_steps": images.steps}
                return self._run(self.pipeline, given, images.steps, seed, callback)
            return self._image_to_image(start, images.steps, strength, seed, callback)

    def upscale(self, image: Image.Image, upscale: Upscale, seed: int, callback: StepCallback) -> Image.Image:
        """The upscaling pass: Lanczos, then image to image, which draws the detail."""
        size_px = upscaled_size(self.pipeline, image.size, upscale.factor)
        large = StartPicture(ImageOps.fit(image, size_px, Image.Resampling.LANCZOS))
        steps = upscale.steps or self.spec.images.steps
        with vae_tiling(self.pipeline, self.spec.images.vae_tiling, size_px):
            return self._image_to_image(large, steps, upscale.strength, seed, callback, _UPSCALING)

    def _image_to_image(
        self, start: StartPicture, steps: int, strength: float, seed: int, callback: StepCallback, *purpose: int
    ) -> Image.Image:
        pipeline = image_to_image_pipeline(self.pipeline, inpainting=start.mask is not None)
        given = {"image": encode_picture(pipeline, start.image), **strength_arguments(steps, strength)}
        if start.mask is not None:
            width, height = start.image.size
            given |= {"width": width, "height": height, "mask_image": start.paint_mask(pipeline.vae_scale_factor)}
        return start.paste_back(self._run(pipeline, given, denoising_steps(steps, strength), seed, callback, *purpose))

    def _run(
        self, pipeline: Any, given: dict[str, Any], steps: int, seed: int, callback: StepCallback, *purpose: int
    ) -> Image.Image:
        with unet_cache(pipeline, self.spec.cache, steps, self.report):
            image: Image.Image = pipeline(
                **self.prompts,
                **given,
                guidance_scale=self.spec.images.guidance_scale,
                eta=_eta(pipeline.scheduler),
                generator=generator(seed, *purpose),
                callback_on_step_end=callback,
            ).images[0]
        return image


def _eta(scheduler: Any) -> float:
    """0 for all samplers, as in diffusers, except TCD: its own default. Its authors call it gamma (arXiv 2402.19159),
    and at 0 it adds no noise between steps."""
    return TCD_ETA if isinstance(scheduler, TCDScheduler) else 0.0


def generate_validation_image(pipeline: Any, prompt: str, side_px: int, seed: int, on_step: OnStep) -> Image.Image:
    """A training's square validation image: fixed number of steps and guidance scale, without a cache."""
    image: Image.Image = pipeline(
        prompt,
        height=side_px,
        width=side_px,
        num_inference_steps=VALIDATION_STEPS,
        guidance_scale=VALIDATION_GUIDANCE_SCALE,
        generator=generator(seed),
        callback_on_step_end=step_callback(on_step),
    ).images[0]
    return image
