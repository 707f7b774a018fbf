"""Photos on their way to latents: crops, mirror images and SDXL's conditioning on them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from support.photos import encode, exif

from darkroom_runner.dataset import Photo, check_photo
from darkroom_runner.device import generator
from darkroom_runner.training.encodings import crops, encode_photo
from darkroom_runner.training.loop import Subject, batch_of

Store = Callable[..., Photo]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    def stored(picture: Image.Image, kind: str = "PNG", **extra: object) -> Photo:
        path = tmp_path / "photo"
        path.write_bytes(encode(picture, kind, **extra))
        return check_photo(path, f"a.{kind.lower()}")

    return stored


def detailed(width: int, height: int) -> Image.Image:
    """Soft and sharp shapes all over, no two places alike."""
    picture = Image.radial_gradient("L").resize((width, height)).convert("RGB")
    pen, step = ImageDraw.Draw(picture), max(16, min(width, height) // 8)
    for number, x in enumerate(range(0, width, step)):
        for row, y in enumerate(range(0, height, step)):
            colour = (37 * number % 256, 91 * row % 256, 53 * (number + row) % 256)
            pen.ellipse((x, y, x + step // 2, y + step // 3), fill=colour)
    return picture


def scaled_then_cropped(picture: Image.Image, side_px: int, top: int, left: int) -> Image.Image:
    """The plain way to a crop, whose cost is that of the whole scaled photo."""
    scale = side_px / min(picture.size)
    size = [max(side_px, round(length * scale)) for length in picture.size]
    scaled = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    return scaled.crop((left, top, left + side_px, top + side_px))


def differences(one: Image.Image, other: Image.Image) -> Any:
    return np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int))


@pytest.mark.parametrize(
    ("size", "places"),
    [
        ((64, 64), [(0, 0)]),
        ((100, 96), [(0, 2)]),
        ((256, 128), [(0, 0), (0, 32), (0, 64)]),
        ((64, 192), [(0, 0), (64, 0), (128, 0)]),
    ],
)
def test_a_long_photo_is_cropped_in_the_middle_and_at_both_ends(
    size: tuple[int, int], places: list[tuple[int, int]]
) -> None:
    found = crops(Image.new("RGB", size), size, 64, mirror=False)

    assert [(crop.top, crop.left) for crop in found] == places
    assert {crop.picture.size for crop in found} == {(64, 64)}
    assert {crop.original_px for crop in found} == {size}


@pytest.mark.parametrize("size", [(640, 480), (481, 723), (100, 96), (1000, 64), (70, 66), (333, 999)])
@pytest.mark.parametrize("side_px", [64, 96])
def test_cropping_first_changes_no_pixel(size: tuple[int, int], side_px: int) -> None:
    picture = detailed(*size)
    straight, mirrored = crops(picture, size, side_px, mirror=False), crops(picture, size, side_px, mirror=True)

    for crop in straight:
        assert differences(crop.picture, scaled_then_cropped(picture, side_px, crop.top, crop.left)).max() <= 1
    for crop in mirrored[len(straight) :]:
        plain = scaled_then_cropped(ImageOps.mirror(picture), side_px, crop.top, crop.left)
        assert differences(crop.picture, plain).max() <= 1
    assert [(crop.top, crop.left) for crop in mirrored] == [(crop.top, crop.left) for crop in straight] * 2


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1600, 1200), (1204, 1604)])
def test_a_jpeg_decoded_smaller_gives_the_same_crops(store: Store, size: tuple[int, int], orientation: int) -> None:
    photo = store(detailed(*size), "JPEG", quality=95, exif=exif(orientation=orientation))
    whole, smaller = photo.read(), photo.read(least_px=256)
    assert smaller.width < whole.width

    plain = crops(whole, photo.facts.size_px, 128, mirror=True)
    found = crops(smaller, photo.facts.size_px, 128, mirror=True)

    assert [(crop.top, crop.left, crop.original_px) for crop in found] == [
        (crop.top, crop.left, whole.size) for crop in plain
    ]
    # A mean of less than one of 255: two ways to scale, nothing shifted.
    assert max(differences(one.picture, other.picture).mean() for one, other in zip(found, plain, strict=True)) < 1


def test_a_panorama_costs_no_more_than_its_crops() -> None:
    """Scaled before it is cropped, it would have 256,000×1,024 pixels: 1 GB."""
    picture = detailed(16_000, 64)
    made: list[tuple[int, int]] = []
    resize = Image.Image.resize

    def watched(self: Image.Image, size: tuple[int, int], *args: Any, **kwargs: Any) -> Image.Image:
        made.append(size)
        return resize(self, size, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image.Image, "resize", watched)
        found = crops(picture, picture.size, 1024, mirror=True)

    assert len(found) == 6
    assert set(made) == {(1024, 1024)}


def test_a_mirrored_photo_is_there_both_ways() -> None:
    picture = Image.linear_gradient("L").rotate(90).convert("RGB").resize((64, 64))

    straight, mirrored = crops(picture, picture.size, 64, mirror=True)

    assert ImageOps.mirror(mirrored.picture).tobytes() == straight.picture.tobytes()
    assert mirrored.picture.tobytes() != straight.picture.tobytes()


def test_the_conditioning_tells_size_crop_and_target(sdxl: Any, store: Store) -> None:
    _, middle, _ = encode_photo(sdxl.vae, store(Image.new("RGB", (256, 128), "red")), 64, mirror=False)

    assert middle.time_ids.tolist() == [128, 256, 0, 32, 64, 64]
    assert middle.mean.shape == middle.std.shape == (4, 8, 8)


def test_the_conditioning_tells_the_whole_photo_s_size(sdxl: Any, store: Store) -> None:
    photo = store(Image.new("RGB", (1600, 1000), "red"), "JPEG", exif=exif(orientation=6))

    first, _, _ = encode_photo(sdxl.vae, photo, 64, mirror=False)

    assert first.time_ids.tolist() == [1600, 1000, 0, 0, 64, 64]


def test_latents_are_in_the_scale_that_the_pipeline_decodes(sdxl: Any, store: Store) -> None:
    photo = store(Image.new("RGB", (64, 64), "red"))
    pixels = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    with torch.no_grad():
        raw = sdxl.vae.encode(pixels).latent_dist.mean[0]

    plain = encode_photo(sdxl.vae, photo, 64, mirror=False)[0].mean
    sdxl.vae.register_to_config(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[2.0] * 4)
    by_channel = encode_photo(sdxl.vae, photo, 64, mirror=False)[0].mean

    factor = sdxl.vae.config.scaling_factor
    torch.testing.assert_close(plain, raw * factor)
    shift = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1)
    torch.testing.assert_close(by_channel, (raw - shift) * factor / 2.0)


def test_every_photo_is_seen_before_any_is_seen_again(sdxl: Any, photos: list[Photo]) -> None:
    subject = Subject("a dog", [encode_photo(sdxl.vae, photo, 64, mirror=False) for photo in photos])
    means = [encodings[0].mean for encodings in subject.photos]
    drawn = [batch_of([subject], 1, number, 0, generator(number)).latents[0] for number in range(3)]

    seen = [int(torch.stack([(latents - mean).abs().mean() for mean in means]).argmin()) for latents in drawn]

    assert sorted(seen) == [0, 1, 2]


def test_a_batch_holds_as_many_of_each_subject_and_weighs_them(sdxl: Any, photos: list[Photo]) -> None:
    encodings = [encode_photo(sdxl.vae, photo, 64, mirror=False) for photo in photos]
    subjects = [Subject("sks dog", encodings), Subject("dog", encodings, weight=0.5)]

    batch = batch_of(subjects, 4, 0, 0, generator(0))

    assert batch.subjects.tolist() == [0] * 4 + [1] * 4
    assert batch.weights.tolist() == [0.25] * 4 + [0.125] * 4
    assert batch.latents.shape == (8, 4, 8, 8)
