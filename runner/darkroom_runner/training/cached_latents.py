"""Encodes photos with the VAE once, before training, so that the VAE is not needed in the training loop.

A photo gives latents for each of its crops and optionally their mirror images; a training step picks one of them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from darkroom_runner.errors import DatasetInvalidError
from darkroom_runner.training.buckets import Frame, Size
from darkroom_runner.training.dataset import Photo


@dataclass(frozen=True)
class CachedLatents:
    """The VAE's posterior for one crop, and SDXL's size and crop conditioning."""

    mean: torch.Tensor
    """[4, h, w], float32, CPU, scaled for the U-Net."""
    std: torch.Tensor
    """Same shape and scale as `mean`."""
    time_ids: torch.Tensor
    """[6]: original height and width, top and left of the crop, target height and width (SDXL paper, section 2.2)."""
    mask: torch.Tensor | None = None
    """[1, h, w], float32: weight of each position in the loss; None if it is 1 everywhere."""

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        """A sample of the posterior: [4, h, w]."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)


@dataclass(frozen=True)
class Crop:
    """A crop of a scaled photo."""

    image: Image.Image
    original_px: Size
    """Before scaling."""
    top: int
    left: int


def crops(image: Image.Image, original_px: Size, frame: Frame, mirror: bool) -> list[Crop]:
    """The crops of a photo, then with `mirror` their mirror images.

    `original_px` is the photo's size; `image` may be a smaller version of it. Each crop is scaled by itself, so that a
    panorama takes no more memory than its crops.
    """
    width, height = frame.size_px

    def cut(top: int, left: int) -> Image.Image:
        box = source_box(image.size, frame, top, left)
        return image.resize((width, height), Image.Resampling.LANCZOS, box=box)

    found = [Crop(cut(top, left), original_px, top, left) for top, left in frame.corners]
    if mirror:
        found += [
            Crop(ImageOps.mirror(cut(*mirrored(frame, top, left))), original_px, top, left)
            for top, left in frame.corners
        ]
    return found


def mirrored(frame: Frame, top: int, left: int) -> tuple[int, int]:
    """The corner whose mirrored crop is the crop at `top`, `left` of the mirrored photo: as far from the other edge."""
    return top, frame.scaled_px[0] - frame.size_px[0] - left


def source_box(size: Size, frame: Frame, top: int, left: int) -> tuple[float, float, float, float]:
    """A crop's left, upper, right and lower edge in a picture of the whole photo of any size."""
    across, down = size[0] / frame.scaled_px[0], size[1] / frame.scaled_px[1]
    right, bottom = (left + frame.size_px[0]) * across, (top + frame.size_px[1]) * down
    # Rounding may move the far corner just outside of the picture.
    return left * across, top * down, min(right, size[0]), min(bottom, size[1])


@torch.no_grad()
def encode_photo(
    vae: Any, photo: Photo, frame: Frame, mirror: bool, unmasked_weight: float | None = None
) -> list[CachedLatents]:
    """The latents of all crops of a photo. The VAE must be in float32: SDXL's overflows in half precision.

    With `unmasked_weight` they have the photo's mask, and crops in which it is black everywhere are dropped. Raises
    `DatasetInvalidError` if none is left.
    """
    latents = [_encode(vae, crop) for crop in photo_crops(photo, frame, mirror)]
    mask = None if unmasked_weight is None else photo.read_mask()
    if unmasked_weight is None or mask is None:
        return latents
    height, width = latents[0].mean.shape[-2:]
    masks = crop_masks(mask, frame, mirror, (width, height))
    kept = [
        replace(each, mask=unmasked_weight + (1 - unmasked_weight) * mask)
        for each, mask in zip(latents, masks, strict=True)
        if mask.any()
    ]
    if not kept:
        raise DatasetInvalidError(
            f"The mask of {photo.name} is black in the part that is trained on, {frame.size_px[0]}×{frame.size_px[1]} "
            "pixels of its middle. Crop the photo and its mask to the subject."
        )
    return kept


def crop_masks(mask: Image.Image, frame: Frame, mirror: bool, size: Size) -> list[torch.Tensor]:
    """What `crops` cuts, of a mask of the whole photo: [1, h, w] each, 0 to 1, averaged to the latents' `size`."""

    def cut(top: int, left: int) -> Image.Image:
        return mask.resize(size, Image.Resampling.BOX, box=source_box(mask.size, frame, top, left))

    found = [cut(*corner) for corner in frame.corners]
    if mirror:
        found += [ImageOps.mirror(cut(*mirrored(frame, *corner))) for corner in frame.corners]
    return [torch.from_numpy(np.asarray(each, dtype=np.float32) / 255).unsqueeze(0) for each in found]


def photo_crops(photo: Photo, frame: Frame, mirror: bool) -> list[Crop]:
    """The crops of a photo. The decoded photo is freed when they are made."""
    # Decoding at twice the size leaves the final scaling, and the sharpness, to the LANCZOS filter.
    return crops(photo.read(least_px=2 * min(frame.scaled_px)), photo.properties.size_px, frame, mirror)


def _encode(vae: Any, crop: Crop) -> CachedLatents:
    posterior = vae.encode(_pixels(crop.image).to(vae.device, vae.dtype)).latent_dist
    shift, scale = _latent_scale(vae.config)
    return CachedLatents(
        mean=((posterior.mean[0].float().cpu() - shift) * scale),
        std=(posterior.std[0].float().cpu() * scale),
        time_ids=time_ids(crop.original_px, (crop.top, crop.left), crop.image.size),
    )


def time_ids(original_px: Size, corner: tuple[int, int], target_px: Size) -> torch.Tensor:
    """SDXL's conditioning on size and crop, [6]; sizes as width and height, the corner as top and left."""
    (width, height), (target_width, target_height) = original_px, target_px
    return torch.tensor([height, width, *corner, target_height, target_width], dtype=torch.float32)


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
