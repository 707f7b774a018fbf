"""Approximate pixels of latents, for previews, at a fraction of a decoding's cost.

For SDXL's latents a linear map to RGB is known: one pixel for each latent one. Other VAEs, such as the small model's,
may be far from linear: they decode reduced latents.
"""

from typing import Any

import torch
from torch.nn import functional

MAX_SIDE_PX = 256
DECODED_SIDE, DECODED_FRACTION = 8, 8
"""Latents that the VAE decodes are reduced to this side, or to this fraction if that is larger, such as 128 to 16: a VAE
as large as SDXL's then needs about 1% of a step's arithmetic."""

_SDXL_WEIGHTS = ((60.0, 60.0, 60.0), (-60.0, -5.0, 10.0), (25.0, 15.0, -5.0), (-70.0, -50.0, -35.0))
_SDXL_OFFSET = (150.0, 140.0, 130.0)
"""Source: "Display image after each generation step" in https://huggingface.co/docs/diffusers/using-diffusers/callback."""

_SDXL_SCALING, _SDXL_WIDTHS = 0.13025, (128, 256, 512, 512)


@torch.no_grad()
def approximate_pixels(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents of one image as the pipeline has them, (channels, height, width), as (height, width, 3) bytes on the same
    device, at most `MAX_SIDE_PX` a side. The VAE is unchanged afterwards."""
    values = latents.detach().float()
    if has_sdxl_latents(vae):
        values = _reduced(values, MAX_SIDE_PX)
        weights, offset = (torch.tensor(each, device=values.device) for each in (_SDXL_WEIGHTS, _SDXL_OFFSET))
        rgb = torch.einsum("chw,cr->hwr", values, weights) + offset
    else:
        side = max(DECODED_SIDE, max(values.shape[-2:]) // DECODED_FRACTION)
        decoded = _decode(vae, _reduced(values, side)[None])
        rgb = (_reduced(decoded[0], MAX_SIDE_PX).permute(1, 2, 0) + 1) * 127.5
    return rgb.nan_to_num(0.0).clamp(0, 255).to(torch.uint8).contiguous()


def has_sdxl_latents(vae: Any) -> bool:
    """Whether the latents are SDXL's, as those of nearly all models made from it are."""
    config = vae.config
    return (
        config.scaling_factor == _SDXL_SCALING
        and tuple(config.block_out_channels) == _SDXL_WIDTHS
        and config.latent_channels == len(_SDXL_WEIGHTS)
        and config.get("latents_mean") is None
    )


def _reduced(values: torch.Tensor, max_side: int) -> torch.Tensor:
    """(channels, height, width), averaged down to at most `max_side` a side."""
    scale = max_side / max(values.shape[-2:])
    if scale >= 1:
        return values
    height, width = (max(1, round(side * scale)) for side in values.shape[-2:])
    return functional.interpolate(values[None], (height, width), mode="area")[0]


def _decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """(1, 3, height, width) pixels from -1 to 1, as the pipelines decode."""
    config, dtype = vae.config, vae.dtype
    scaled = latents / config.scaling_factor
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        mean, std = (
            torch.tensor(each, device=latents.device).view(1, -1, 1, 1)
            for each in (config.latents_mean, config.latents_std)
        )
        scaled = scaled * std + mean
    if dtype == torch.float16 and config.get("force_upcast", False):
        vae.to(torch.float32)
    try:
        decoded: torch.Tensor = vae.decode(scaled.to(vae.dtype), return_dict=False)[0]
        return decoded.float()
    finally:
        vae.to(dtype)
