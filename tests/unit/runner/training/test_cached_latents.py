"""From photos to cached latents: crops, mirror images and SDXL's size and crop conditioning."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from support.photos import encode, exif

from darkroom_runner.training.buckets import square_frame
from darkroom_runner.training.cached_latents import CachedLatents, crops, encode_photo
from darkroom_runner.training.dataset import Photo, check_photo

Store = Callable[..., Photo]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    def stored(image: Image.Image, kind: str = "PNG", **extra: object) -> Photo:
        path = tmp_path / "photo"
        path.write_bytes(encode(image, kind, **extra))
        return check_photo(path, f"a.{kind.lower()}")

    return stored


def encode_square(sdxl: Any, photo: Photo) -> list[CachedLatents]:
    return encode_photo(sdxl.vae, photo, square_frame(photo.size_px, 64), mirror=False)


def detailed(width: int, height: int) -> Image.Image:
    """An image with soft and sharp shapes that differ everywhere."""
    image = Image.radial_gradient("L").resize((width, height)).convert("RGB")
    pen, step = ImageDraw.Draw(image), max(16, min(width, height) // 8)
    for number, x in enumerate(range(0, width, step)):
        for row, y in enumerate(range(0, height, step)):
            colour = (37 * number % 256, 91 * row % 256, 53 * (number + row) % 256)
            pen.ellipse((x, y, x + step // 2, y + step // 3), fill=colour)
    return image


def scaled_then_cropped(image: Image.Image, side_px: int, top: int, left: int) -> Image.Image:
    """The reference: scale the whole photo, then crop it."""
    scale = side_px / min(image.size)
    size = [max(side_px, round(length * scale)) for length in image.size]
    scaled = image.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    return scaled.crop((left, top, left + side_px, top + side_px))


def differences(one: Image.Image, other: Image.Image) -> Any:
    return np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int))


@pytest.mark.parametrize(
    ("size", "corners"),
    [
        ((64, 64), [(0, 0)]),
        ((100, 96), [(0, 2)]),
        ((256, 128), [(0, 0), (0, 32), (0, 64)]),
        ((64, 192), [(0, 0), (64, 0), (128, 0)]),
    ],
)
def test_an_elongated_photo_is_cropped_at_the_centre_and_both_ends(
    size: tuple[int, int], corners: list[tuple[int, int]]
) -> None:
    found = crops(Image.new("RGB", size), size, square_frame(size, 64), mirror=False)

    assert [(crop.top, crop.left) for crop in found] == corners
    assert {crop.image.size for crop in found} == {(64, 64)}
    assert {crop.original_px for crop in found} == {size}


@pytest.mark.parametrize("size", [(640, 480), (481, 723), (100, 96), (1000, 64), (70, 66), (333, 999)])
@pytest.mark.parametrize("side_px", [64, 96])
def test_cropping_before_scaling_gives_the_same_pixels(size: tuple[int, int], side_px: int) -> None:
    image = detailed(*size)
    frame = square_frame(size, side_px)
    straight, mirrored = crops(image, size, frame, mirror=False), crops(image, size, frame, mirror=True)

    for crop in straight:
        assert differences(crop.image, scaled_then_cropped(image, side_px, crop.top, crop.left)).max() <= 1
    for crop in mirrored[len(straight) :]:
        plain = scaled_then_cropped(ImageOps.mirror(image), side_px, crop.top, crop.left)
        assert differences(crop.image, plain).max() <= 1
    assert [(crop.top, crop.left) for crop in mirrored] == [(crop.top, crop.left) for crop in straight] * 2


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1600, 1200), (1204, 1604)])
def test_a_jpeg_decoded_at_reduced_size_gives_the_same_crops(
    store: Store, size: tuple[int, int], orientation: int
) -> None:
    photo = store(detailed(*size), "JPEG", quality=95, exif=exif(orientation=orientation))
    whole, smaller = photo.read(), photo.read(least_px=256)
    assert smaller.width < whole.width

    frame = square_frame(photo.size_px, 128)
    plain = crops(whole, photo.size_px, frame, mirror=True)
    found = crops(smaller, photo.size_px, frame, mirror=True)

    assert [(crop.top, crop.left, crop.original_px) for crop in found] == [
        (crop.top, crop.left, whole.size) for crop in plain
    ]
    # A mean difference below 1 of 255: another scaling filter, but nothing is shifted.
    assert max(differences(one.image, other.image).mean() for one, other in zip(found, plain, strict=True)) < 1


def test_a_panorama_is_never_scaled_as_a_whole() -> None:
    """Scaled before cropping, it would have 256,000×1,024 pixels: 1 GB."""
    image = detailed(16_000, 64)
    sizes: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watched(self: Image.Image, size: tuple[int, int], *args: Any, **kwargs: Any) -> Image.Image:
        sizes.append(size)
        return resize(self, size, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", watched)
        found = crops(image, image.size, square_frame(image.size, 1024), mirror=True)

    assert len(found) == 6
    assert set(sizes) == {(1024, 1024)}


def test_mirroring_adds_the_mirrored_crop() -> None:
    image = Image.linear_gradient("L").rotate(90).convert("RGB").resize((64, 64))

    straight, mirrored = crops(image, image.size, square_frame(image.size, 64), mirror=True)

    assert ImageOps.mirror(mirrored.image).tobytes() == straight.image.tobytes()
    assert mirrored.image.tobytes() != straight.image.tobytes()


def test_time_ids_are_original_size_crop_and_target_size(sdxl: Any, store: Store) -> None:
    _, middle, _ = encode_square(sdxl, store(Image.new("RGB", (256, 128), "red")))

    assert middle.time_ids.tolist() == [128, 256, 0, 32, 64, 64]
    assert middle.mean.shape == middle.std.shape == (4, 8, 8)


def test_time_ids_have_the_full_size_of_a_photo_decoded_smaller(sdxl: Any, store: Store) -> None:
    photo = store(Image.new("RGB", (1600, 1000), "red"), "JPEG", exif=exif(orientation=6))

    first, _, _ = encode_square(sdxl, photo)

    assert first.time_ids.tolist() == [1600, 1000, 0, 0, 64, 64]


def test_latents_have_the_scale_that_the_pipeline_decodes(sdxl: Any, store: Store) -> None:
    photo = store(Image.new("RGB", (64, 64), "red"))
    pixels = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    with torch.no_grad():
        raw = sdxl.vae.encode(pixels).latent_dist.mean[0]

    plain = encode_square(sdxl, photo)[0].mean
    sdxl.vae.register_to_config(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[2.0] * 4)
    by_channel = encode_square(sdxl, photo)[0].mean

    factor = sdxl.vae.config.scaling_factor
    torch.testing.assert_close(plain, raw * factor)
    shift = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1)
    torch.testing.assert_close(by_channel, (raw - shift) * factor / 2.0)
