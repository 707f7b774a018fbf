"""Pictures from a prompt: SDXL, one picture at a time. Called by `drawing`.

One at a time, each with a generator of its own: so picture n of a job is, to the bit, the picture that its seed
gives alone. At SDXL's size one picture fills a card, and a batch would win little.
"""

from collections.abc import Callable
from typing import Any

from PIL import Image

from darkroom_contract.specs import Cache, GenerateJobSpec
from darkroom_runner.deepcache import deepcache
from darkroom_runner.device import generator

OnStep = Callable[[int, int], None]
"""Called with the denoising steps done, and all of them."""


def draw_picture(pipeline: Any, spec: GenerateJobSpec, seed: int, on_step: OnStep) -> Image.Image:
    """The picture of one seed."""

    def report(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        on_step(step + 1, pipe.num_timesteps)
        return kwargs

    images = spec.images
    with cached(pipeline, spec.cache):
        drawn: Image.Image = pipeline(
            spec.prompt,
            # An empty string would be encoded; None is what SDXL was trained to take for "nothing".
            negative_prompt=spec.negative_prompt or None,
            width=images.width,
            height=images.height,
            num_inference_steps=images.steps,
            guidance_scale=images.guidance_scale,
            generator=generator(seed),
            callback_on_step_end=report,
        ).images[0]
    return drawn


def cached(pipeline: Any, cache: Cache) -> Any:
    """The DeepCache context that a job asks for, good for one generation."""
    return deepcache(pipeline, cache.effective_interval, cache.branch)
