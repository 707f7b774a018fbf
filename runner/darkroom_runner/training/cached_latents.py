"""Encodes photos with the VAE once, before training, so that the VAE is not needed in the training loop.

A photo gives latents for each of its crops and optionally their mirror images; a training step picks one of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from darkroom_runner.training.dataset import Photo

_NEARLY_SQUARE = 1.1
"""Up to this aspect ratio, one centred crop is enough."""


@dataclass(frozen=True)
class CachedLatents:
    """The VAE's posterior for one square crop, and SDXL's size and crop conditioning."""

    mean: torch.Tensor
    """[4, h, w], float32, CPU, scaled for the U-Net."""
    std: torch.Tensor
    """Same shape and scale as `mean`."""
    time_ids: torch.Tensor
    """[6]: original height and width, top and left of the crop, target height and width (SDXL paper, section 2.2)."""

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        """A sample of the posterior: [4, h, w]."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)


@dataclass(frozen=True)
class Crop:
    """A square crop of a scaled photo."""

    image: Image.Image
    original_px: tuple[int, int]
    """Width and height before scaling."""
    top: int
    left: int


def crops(image: Image.Image, original_px: tuple[int, int], side_px: int, mirror: bool) -> list[Crop]:
    """The square crops of `side_px` that a photo is trained on: the centre, and both ends of an elongated photo.

    `original_px` is the photo's width and height; `image` may be a smaller version of it. Each crop is scaled by
    itself, so that a panorama takes no more memory than its crops.
    """
    scale = side_px / min(original_px)
    width, height = (max(side_px, round(length * scale)) for length in original_px)
    offsets = [0.5] if max(width, height) <= _NEARLY_SQUARE * side_px else [0.0, 0.5, 1.0]
    corners = [(round((height - side_px) * offset), round((width - side_px) * offset)) for offset in offsets]

    across, down = image.width / width, image.height / height

    def cut(top: int, left: int) -> Image.Image:
        box = (left * across, top * down, (left + side_px) * across, (top + side_px) * down)
        return image.resize((side_px, side_px), Image.Resampling.LANCZOS, box=_clamp(box, image.size))

    found = [Crop(cut(top, left), original_px, top, left) for top, left in corners]
    if mirror:
        # The crop at `left` of the mirrored photo is the mirrored crop at the same distance from the other edge.
        found += [
            Crop(ImageOps.mirror(cut(top, width - side_px - left)), original_px, top, left) for top, left in corners
        ]
    return found


def _clamp(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Correct a far corner that rounding errors moved just outside the image."""
    return (box[0], box[1], min(box[2], size[0]), min(box[3], size[1]))


@torch.no_grad()
def encode_photo(vae: Any, photo: Photo, side_px: int, mirror: bool) -> list[CachedLatents]:
    """The latents of all crops of a photo. The VAE must be in float32: SDXL's overflows in half precision."""
    return [_encode(vae, crop, side_px) for crop in photo_crops(photo, side_px, mirror)]


def photo_crops(photo: Photo, side_px: int, mirror: bool) -> list[Crop]:
    """The crops of a photo. The decoded photo is freed when they are made."""
    # Decoding at twice the side leaves the final scaling, and the sharpness, to the LANCZOS filter.
    return crops(photo.read(least_px=2 * side_px), photo.properties.size_px, side_px, mirror)


def _encode(vae: Any, crop: Crop, side_px: int) -> CachedLatents:
    posterior = vae.encode(_pixels(crop.image).to(vae.device, vae.dtype)).latent_dist
    shift, scale = _latent_scale(vae.config)
    width, height = crop.original_px
    return CachedLatents(
        mean=((posterior.mean[0].float().cpu() - shift) * scale),
        std=(posterior.std[0].float().cpu() * scale),
        time_ids=torch.tensor([height, width, crop.top, crop.left, side_px, side_px], dtype=torch.float32),
    )


def _pixels(image: Image.Image) -> torch.Tensor:
    """Pixels as [1, 3, h, w], -1 to 1."""
    array = np.asarray(image, dtype=np.float32) / 127.5 - 1.0
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0)


def _latent_scale(config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift and factor from the VAE's latents to the U-Net's, broadcastable to [4, h, w].

    Some VAEs are normalised per channel (`latents_mean`, `latents_std`); the pipeline does the inverse.
    """
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is None or std is None:
        return torch.zeros(1), torch.tensor(config.scaling_factor)
    return torch.tensor(mean).view(-1, 1, 1), config.scaling_factor / torch.tensor(std).view(-1, 1, 1)
