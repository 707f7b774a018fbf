"""Decodes and encodes large images in overlapping tiles, as `images.vaeTiling` says.

The VAE's activations take several times the memory of everything else in an image of 2048×2048 pixels. In tiles they
take as much as one tile needs. The group normalization of each tile has its own statistics, so that the result differs
slightly from that of the whole image, and seams may show in small tiles.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from darkroom_contract.specs.images import VaeTiling
from darkroom_runner.sampling.picture_size import Size, own_side

MAX_SIDES = 1.5
"""With `Auto`, images with more pixels than a square of this many times the base model's own side are tiled."""

_TILING_ATTRIBUTES = ("use_tiling", "tile_sample_min_size", "tile_latent_min_size")


@contextmanager
def vae_tiling(pipeline: Any, setting: VaeTiling, image_px: Size) -> Iterator[None]:
    """Tile the VAE for an image of this size if `setting` asks for it; afterwards it has its previous settings.

    Tiles have the base model's own side with `Auto`, and half of it with `Enabled`, which saves memory at the native
    size too.
    """
    vae, tile_px = pipeline.vae, tile_side(pipeline, setting, image_px)
    if tile_px is None:
        yield
        return
    before = {name: getattr(vae, name) for name in _TILING_ATTRIBUTES}
    vae.use_tiling = True
    vae.tile_sample_min_size, vae.tile_latent_min_size = tile_px, tile_px // pipeline.vae_scale_factor
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(vae, name, value)


def tile_side(pipeline: Any, setting: VaeTiling, image_px: Size) -> int | None:
    """Side of the tiles in pixels; None for an image that is not tiled, or a VAE that can't be."""
    side, (width, height) = own_side(pipeline), image_px
    if not all(hasattr(pipeline.vae, name) for name in _TILING_ATTRIBUTES):
        return None
    if setting is VaeTiling.ENABLED:
        return side // 2
    return side if setting is VaeTiling.AUTO and width * height > (MAX_SIDES * side) ** 2 else None
