"""Photos in the latent space, encoded once: the VAE is needed no more while training.

A photo becomes one encoding for each crop and, when asked, for its mirror image; a training step draws one of them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from darkroom_runner.dataset import Photo

_NEARLY_SQUARE = 1.1
"""Up to this ratio of sides one crop, in the middle, shows all that matters."""


@dataclass(frozen=True)
class Encoding:
    """The VAE's posterior of one square crop, and SDXL's conditioning on size and crop."""

    mean: torch.Tensor
    """[4, h, w], float32, CPU, in the U-Net's scale."""
    std: torch.Tensor
    """As `mean`."""
    time_ids: torch.Tensor
    """[6]: original height and width, top and left of the crop, target height and width (SDXL, section 2.2)."""

    def sample(self, generator: torch.Generator) -> torch.Tensor:
        """One draw from the posterior: [4, h, w]."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator)


@dataclass(frozen=True)
class Crop:
    """A square of a scaled photo."""

    picture: Image.Image
    original_px: tuple[int, int]
    """Width and height before scaling."""
    top: int
    left: int


def crops(picture: Image.Image, original_px: tuple[int, int], side_px: int, mirror: bool) -> list[Crop]:
    """The squares of `side_px` that a photo is trained on: the middle, and both ends of a long photo.

    `original_px` is the photo's width and height; `picture` may be a smaller version of it. Each square is cut out
    before it is scaled, so that a panorama costs no more than its squares.
    """
    scale = side_px / min(original_px)
    width, height = (max(side_px, round(length * scale)) for length in original_px)
    places = [0.5] if max(width, height) <= _NEARLY_SQUARE * side_px else [0.0, 0.5, 1.0]
    corners = [(round((height - side_px) * place), round((width - side_px) * place)) for place in places]

    across, down = picture.width / width, picture.height / height

    def cut(top: int, left: int) -> Image.Image:
        box = (left * across, top * down, (left + side_px) * across, (top + side_px) * down)
        return picture.resize((side_px, side_px), Image.Resampling.LANCZOS, box=_within(box, picture.size))

    found = [Crop(cut(top, left), original_px, top, left) for top, left in corners]
    if mirror:
        # The square at `left` of the mirrored photo is the mirrored one that lies as far from the other edge.
        found += [
            Crop(ImageOps.mirror(cut(top, width - side_px - left)), original_px, top, left) for top, left in corners
        ]
    return found


def _within(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box, where rounding has put its far corner a hair outside the picture."""
    return (box[0], box[1], min(box[2], size[0]), min(box[3], size[1]))


@torch.no_grad()
def encode_photo(vae: Any, photo: Photo, side_px: int, mirror: bool) -> list[Encoding]:
    """All encodings of one photo. The VAE must be in float32: SDXL's overflows in half precision."""
    return [_encode(vae, crop, side_px) for crop in photo_crops(photo, side_px, mirror)]


def photo_crops(photo: Photo, side_px: int, mirror: bool) -> list[Crop]:
    """The squares of one photo. Its picture, decoded for them, is gone when they are made."""
    # Twice the side leaves the rest of the scaling, and the sharpness, to a proper filter.
    return crops(photo.read(least_px=2 * side_px), photo.facts.size_px, side_px, mirror)


def _encode(vae: Any, crop: Crop, side_px: int) -> Encoding:
    posterior = vae.encode(_pixels(crop.picture).to(vae.device, vae.dtype)).latent_dist
    shift, scale = _latent_scale(vae.config)
    width, height = crop.original_px
    return Encoding(
        mean=((posterior.mean[0].float().cpu() - shift) * scale),
        std=(posterior.std[0].float().cpu() * scale),
        time_ids=torch.tensor([height, width, crop.top, crop.left, side_px, side_px], dtype=torch.float32),
    )


def _pixels(picture: Image.Image) -> torch.Tensor:
    """[1, 3, h, w] in -1..1."""
    array = np.asarray(picture, dtype=np.float32) / 127.5 - 1.0
    return torch.from_numpy(array).permute(2, 0, 1).unsqueeze(0)


def _latent_scale(config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Shift and factor from the VAE's latents to the U-Net's, broadcastable to [4, h, w].

    Some VAEs are normalised by channel (`latents_mean`, `latents_std`), as the pipeline does it in reverse.
    """
    mean, std = config.get("latents_mean"), config.get("latents_std")
    if mean is None or std is None:
        return torch.zeros(1), torch.tensor(config.scaling_factor)
    return torch.tensor(mean).view(-1, 1, 1), config.scaling_factor / torch.tensor(std).view(-1, 1, 1)
