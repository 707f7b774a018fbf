"""A linear map from a VAE's latents to RGB, for previews.

For SDXL's own latents it is known. For others it is fitted once per VAE, by least squares, to a test picture that the
VAE encodes and decodes.
"""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

_SDXL_WEIGHTS = ((60.0, 60.0, 60.0), (-60.0, -5.0, 10.0), (25.0, 15.0, -5.0), (-70.0, -50.0, -35.0))
_SDXL_OFFSET = (150.0, 140.0, 130.0)
"""Source: "Display image after each generation step" in https://huggingface.co/docs/diffusers/using-diffusers/callback."""

_SDXL_SCALING, _SDXL_WIDTHS = 0.13025, (128, 256, 512, 512)

_TEST_SIDE_PX, _TEST_COLOURS = 256, 10


@dataclass(frozen=True)
class LatentRgb:
    """RGB from 0 to 255 = a pixel's latent values, as the pipeline has them, times weights + offset."""

    weights: torch.Tensor
    """(channels, 3), float32."""
    offset: torch.Tensor
    """(3)"""


_fitted: "WeakKeyDictionary[Any, LatentRgb]" = WeakKeyDictionary()


def latent_rgb(vae: Any) -> LatentRgb:
    """The map for a VAE, on its device. The first call for a VAE other than SDXL's costs an encoding and a decoding of
    256×256 pixels. The VAE is unchanged afterwards, and so are torch's random numbers."""
    known = _fitted.get(vae)
    if known is None or known.offset.device != vae.device:
        weights, offset = (torch.tensor(_SDXL_WEIGHTS), torch.tensor(_SDXL_OFFSET)) if _is_sdxl(vae) else _fit(vae)
        known = _fitted[vae] = LatentRgb(weights.to(vae.device), offset.to(vae.device))
    return known


def _is_sdxl(vae: Any) -> bool:
    config = vae.config
    return (
        config.scaling_factor == _SDXL_SCALING
        and tuple(config.block_out_channels) == _SDXL_WIDTHS
        and config.latent_channels == len(_SDXL_WEIGHTS)
        and config.get("latents_mean") is None
    )


def _fit(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    latents, rgb = _encode_and_decode(vae)
    pixels = functional.adaptive_avg_pool2d(rgb, latents.shape[-2:])[0].flatten(1).T
    values = latents[0].flatten(1).T
    ones = torch.ones(len(values), 1)
    solution = torch.linalg.lstsq(torch.cat([values, ones], dim=1), (pixels + 1) * 127.5).solution
    weights, offset = solution[:-1], solution[-1]
    # As in the pipelines: decoded are latents * std / scaling_factor + mean.
    config = vae.config
    if config.get("latents_mean") is not None:
        offset = offset + torch.tensor(config.latents_mean) @ weights
        weights = weights * torch.tensor(config.latents_std)[:, None]
    return weights / config.scaling_factor, offset


@torch.no_grad()
def _encode_and_decode(vae: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The test picture as latents (1, channels, height, width), and decoded again (1, 3, ...), from -1 to 1."""
    dtype = vae.dtype
    # Half precision overflows in SDXL's VAE: the pipelines convert it for decoding, too.
    vae.to(torch.float32)
    try:
        latents = vae.encode(_test_picture().to(vae.device)).latent_dist.mode()
        return latents.cpu(), vae.decode(latents).sample.clamp(-1, 1).cpu()
    finally:
        vae.to(dtype)


def _test_picture() -> torch.Tensor:
    """Random colours that blend into each other, as (1, 3, height, width) from -1 to 1."""
    colours = np.random.default_rng(0).integers(0, 256, (_TEST_COLOURS, _TEST_COLOURS, 3), dtype=np.uint8)
    picture = Image.fromarray(colours).resize((_TEST_SIDE_PX, _TEST_SIDE_PX), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
