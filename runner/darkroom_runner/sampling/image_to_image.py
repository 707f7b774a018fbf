"""Image to image and inpainting with the components of a loaded SDXL pipeline. Called by `sdxl`.

diffusers' own pipelines run on the same models: no weights are loaded twice, and LoRAs stay. The picture is encoded
here rather than in the pipelines: as the mean of its latents, so that a seed has the same noise as in text to image,
and with `latents_mean` and `latents_std`, which diffusers' inpainting pipeline ignores (diffusers 0.42.1).
"""

import math
from typing import Any

import torch
from PIL import Image

from darkroom_contract.plan import denoising_steps
from darkroom_runner.sampling.non_finite import require_finite


def image_to_image_pipeline(pipeline: Any, inpainting: bool) -> Any:
    """diffusers' pipeline with the models, LoRAs and scheduler of `pipeline`."""
    # Most runs have no start image.
    from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline

    kind = StableDiffusionXLInpaintPipeline if inpainting else StableDiffusionXLImg2ImgPipeline
    # Not `from_pipe`: it converts the shared models to float32.
    made = kind(
        **pipeline.components,
        force_zeros_for_empty_prompt=pipeline.config.force_zeros_for_empty_prompt,
        add_watermarker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def strength_arguments(steps: int, strength: float) -> dict[str, Any]:
    """`num_inference_steps` and `strength` for which diffusers runs `denoising_steps(steps, strength)` steps.

    With too few steps for the strength, such as 4 at 0.1, the schedule gets as many as make its last step one of that
    strength. Strength 1 is exact: for diffusers it means pure noise.
    """
    run = denoising_steps(steps, strength)
    whole = steps if run <= steps * strength + 1e-6 else math.ceil(1 / strength - 1e-6)
    # diffusers truncates `whole * strength`, which may be just below an integer.
    return {"num_inference_steps": whole, "strength": 1.0 if run >= whole else (run + 0.5) / whole}


@torch.no_grad()
def encode_picture(pipeline: Any, image: Image.Image) -> torch.Tensor:
    """The mean latents of a picture, [1, 4, h / 8, w / 8] in float32, as the U-Net takes them.

    Must be called inside `retry_in_float32`, which restores the VAE's precision after an exception.
    """
    vae = pipeline.vae
    before = vae.dtype
    if vae.config.force_upcast and before != torch.float32:
        vae.to(torch.float32)
    pixels = pipeline.image_processor.preprocess(image).to(vae.device, vae.dtype)
    latents = require_finite(vae.encode(pixels).latent_dist.mode().float())
    if vae.dtype != before:
        vae.to(before)
    mean, std = (getattr(vae.config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is None or std is None:
        return latents * vae.config.scaling_factor
    shift, spread = (torch.tensor(each, device=latents.device).view(1, -1, 1, 1) for each in (mean, std))
    return (latents - shift) * vae.config.scaling_factor / spread
