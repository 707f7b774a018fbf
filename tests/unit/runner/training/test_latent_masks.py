"""Masks of the loss: averaged to the latents, cropped and mirrored with their photo, and stacked into batches."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.runner_photos import draw_photo, stored_photo

from darkroom_contract.specs.training import Training
from darkroom_runner.errors import DatasetInvalidError
from darkroom_runner.models.device import generator
from darkroom_runner.training.batches import Concept, TrainingImage, make_batch
from darkroom_runner.training.buckets import Frame, bucket_frame, square_frame
from darkroom_runner.training.cached_latents import CachedLatents, encode_photo
from darkroom_runner.training.dataset import Photo

Masked = Callable[..., Photo]


@pytest.fixture
def masked(tmp_path: Path) -> Masked:
    """A photo with a mask whose left part is white."""

    def make(white_px: int, size: tuple[int, int] = (64, 64), scale: int = 1) -> Photo:
        photo = stored_photo(draw_photo(1).resize(size), tmp_path / "a.png")
        mask = Image.new("L", (size[0] * scale, size[1] * scale))
        mask.paste(255, (0, 0, white_px * scale, mask.height))
        mask.save(tmp_path / "mask", "PNG")
        return replace(photo, mask=tmp_path / "mask")

    return make


def encode(
    sdxl: Any, photo: Photo, frame: Frame, unmasked: float | None = 0.0, mirror: bool = False
) -> list[CachedLatents]:
    return encode_photo(sdxl.vae, photo, frame, mirror, unmasked)


def first_row(cached: CachedLatents) -> list[float]:
    assert cached.mask is not None
    row: list[float] = cached.mask[0, 0].tolist()
    return row


SQUARE = square_frame((64, 64), 64)
"""Each position of its latents has 8×8 pixels."""


@pytest.mark.parametrize("scale", [1, 4])
def test_a_mask_and_its_mirror_image_have_the_size_of_the_latents(sdxl: Any, masked: Masked, scale: int) -> None:
    straight, mirrored = encode(sdxl, masked(32, scale=scale), SQUARE, unmasked=0.25, mirror=True)

    assert straight.mask is not None
    assert straight.mask.shape == (1, 8, 8)
    assert first_row(straight) == [1.0] * 4 + [0.25] * 4
    assert first_row(mirrored) == [0.25] * 4 + [1.0] * 4


def test_a_position_partly_in_the_mask_has_that_part(sdxl: Any, masked: Masked) -> None:
    [cached] = encode(sdxl, masked(36), SQUARE)

    assert first_row(cached) == pytest.approx([1, 1, 1, 1, 0.5, 0, 0, 0], abs=0.01)


def test_a_mask_is_cropped_with_its_photo(sdxl: Any, masked: Masked) -> None:
    """Of 240×64 pixels, a bucket of 96×32 shows the middle 192."""
    [cached] = encode(sdxl, masked(120, (240, 64)), bucket_frame((240, 64), (96, 32)))

    assert cached.mask is not None
    assert cached.mask.shape == (1, 4, 12)
    assert first_row(cached) == [1.0] * 6 + [0.0] * 6


def test_square_crops_without_anything_of_the_mask_are_dropped(sdxl: Any, masked: Masked) -> None:
    [cached] = encode(sdxl, masked(24, (192, 64)), square_frame((192, 64), 64))

    assert cached.time_ids.tolist() == [64, 192, 0, 0, 64, 64]
    assert first_row(cached) == [1, 1, 1, 0, 0, 0, 0, 0]


def test_a_mask_outside_of_the_only_crop_is_refused(sdxl: Any, masked: Masked) -> None:
    with pytest.raises(DatasetInvalidError, match=r"The mask of a\.png is black in the part that is trained on"):
        encode(sdxl, masked(64, (640, 64)), bucket_frame((640, 64), (96, 32)))


def test_masks_are_not_used_without_masked_loss(sdxl: Any, masked: Masked) -> None:
    assert [each.mask for each in encode(sdxl, masked(32), SQUARE, unmasked=None)] == [None]


def test_a_photo_without_a_mask_counts_as_a_whole(sdxl: Any, masked: Masked) -> None:
    with_mask = masked(32)
    images = [TrainingImage("a", encode(sdxl, each, SQUARE)) for each in (with_mask, replace(with_mask, mask=None))]

    batch = make_batch([Concept("a", images)], Training(batch_size=2), 0, generator(0))

    assert batch.masks is not None
    assert batch.masks.shape == (2, 1, 8, 8)
    assert sorted(batch.masks.mean(dim=(1, 2, 3)).tolist()) == [0.5, 1.0]
    assert torch.equal(batch.masks.amax(dim=(1, 2, 3)), torch.ones(2))
