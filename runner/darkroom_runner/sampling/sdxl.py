"""Generates an image from a prompt with an SDXL pipeline.

Images are generated one at a time, each with a generator of its own: image n of a job is then bit-identical to the
image that its seed gives alone. At SDXL's size one image fills a GPU, and batches would gain little.
"""

from typing import Any

from diffusers import TCDScheduler
from PIL import Image

from darkroom_contract.plan import VALIDATION_GUIDANCE_SCALE, VALIDATION_STEPS
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner.models.device import generator
from darkroom_runner.sampling.deepcache import deepcache
from darkroom_runner.sampling.preview import ImagePreviews
from darkroom_runner.sampling.step_callback import OnStep, step_callback

TCD_ETA = 0.3


def generate_image(
    pipeline: Any, spec: GenerateJobSpec, seed: int, on_step: OnStep, preview: ImagePreviews | None = None
) -> Image.Image:
    """The image of one seed, through DeepCache as the job asks for it."""
    images = spec.images
    with deepcache(pipeline, spec.cache.effective_interval, spec.cache.branch):
        image: Image.Image = pipeline(
            spec.prompt,
            # An empty string would be encoded; SDXL was trained with zeros (None) for "no prompt".
            negative_prompt=spec.negative_prompt or None,
            width=images.width,
            height=images.height,
            num_inference_steps=images.steps,
            guidance_scale=images.guidance_scale,
            eta=_eta(pipeline.scheduler),
            generator=generator(seed),
            callback_on_step_end=step_callback(on_step, preview),
        ).images[0]
    return image


def _eta(scheduler: Any) -> float:
    """0 for all samplers, as in diffusers, except TCD: its own default. Its authors call it gamma (arXiv 2402.19159),
    and at 0 it adds no noise between steps."""
    return TCD_ETA if isinstance(scheduler, TCDScheduler) else 0.0


def generate_validation_image(pipeline: Any, prompt: str, side_px: int, seed: int, on_step: OnStep) -> Image.Image:
    """A training's square validation image: fixed number of steps and guidance scale, without DeepCache."""
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
