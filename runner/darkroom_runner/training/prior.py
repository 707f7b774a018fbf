"""Class pictures for prior preservation, drawn by the base model itself before it gets adapters.

They stay latents from the U-Net's end of the pipeline to its beginning: no picture is decoded only to be encoded again.
They go through DeepCache as other pictures do: what training is to keep of the class is not in the last detail.
"""

from collections.abc import Callable
from typing import Any

import torch

from darkroom_contract.plan import CLASS_IMAGE_CACHE_INTERVAL, CLASS_IMAGE_STEPS
from darkroom_runner.deepcache import deepcache
from darkroom_runner.device import generator
from darkroom_runner.finite import check_latents, draw_finite
from darkroom_runner.remarks import Remarks
from darkroom_runner.training.encodings import Encoding

_BATCH = 4
_GUIDANCE_SCALE = 5.0


def draw_class_encodings(
    pipeline: Any,
    class_prompt: str,
    count: int,
    side_px: int,
    seed: int,
    on_step: Callable[[int, int], None],
    remarks: Remarks,
) -> list[Encoding]:
    """One encoding for each of `count` class pictures. `on_step` gets the denoising steps done, and all of them.

    The pictures' seeds are seed + 1, seed + 2, ...: `seed` itself begins the training's own random numbers.
    Raises `NonFiniteOutputError`.
    """
    encodings: list[Encoding] = []
    batches = [range(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH)]
    for number, batch in enumerate(batches):

        def draw(number: int = number, batch: range = batch) -> torch.Tensor:
            def report(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
                on_step(number * pipe.num_timesteps + step + 1, len(batches) * pipe.num_timesteps)
                return kwargs

            seeds = [seed + 1 + index for index in batch]
            return check_latents(_draw_batch(pipeline, class_prompt, seeds, side_px, report))

        latents = draw_finite(pipeline, draw, "A batch of class pictures", remarks)
        encodings += [_as_encoding(each, side_px) for each in latents]
    return encodings


def _draw_batch(pipeline: Any, prompt: str, seeds: list[int], side_px: int, report: Any) -> torch.Tensor:
    """Latents of one picture a seed: [n, 4, h, w]."""
    with deepcache(pipeline, CLASS_IMAGE_CACHE_INTERVAL):
        latents: torch.Tensor = pipeline(
            prompt,
            num_images_per_prompt=len(seeds),
            height=side_px,
            width=side_px,
            num_inference_steps=CLASS_IMAGE_STEPS,
            guidance_scale=_GUIDANCE_SCALE,
            generator=[generator(each) for each in seeds],
            output_type="latent",
            callback_on_step_end=report,
        ).images
    return latents


def _as_encoding(latents: torch.Tensor, side_px: int) -> Encoding:
    mean = latents.float().cpu()
    time_ids = torch.tensor([side_px, side_px, 0, 0, side_px, side_px], dtype=torch.float32)
    return Encoding(mean, torch.zeros_like(mean), time_ids)
