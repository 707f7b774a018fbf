"""Photos on their way to latents: crops, mirror images and SDXL's conditioning on them."""

from typing import Any

import pytest
import torch
from PIL import Image, ImageOps

from darkroom_runner.dataset import Photo
from darkroom_runner.device import generator
from darkroom_runner.training.encodings import crops, encode_photo
from darkroom_runner.training.loop import Subject, batch_of


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
    found = crops(Image.new("RGB", size), 64, mirror=False)

    assert [(crop.top, crop.left) for crop in found] == places
    assert {crop.picture.size for crop in found} == {(64, 64)}
    assert {crop.original_px for crop in found} == {size}


def test_a_mirrored_photo_is_there_both_ways() -> None:
    picture = Image.linear_gradient("L").rotate(90).convert("RGB").resize((64, 64))

    straight, mirrored = crops(picture, 64, mirror=True)

    assert ImageOps.mirror(mirrored.picture).tobytes() == straight.picture.tobytes()
    assert mirrored.picture.tobytes() != straight.picture.tobytes()


def test_the_conditioning_tells_size_crop_and_target(sdxl: Any) -> None:
    _, middle, _ = encode_photo(sdxl.vae, Photo("wide.png", Image.new("RGB", (256, 128), "red")), 64, mirror=False)

    assert middle.time_ids.tolist() == [128, 256, 0, 32, 64, 64]
    assert middle.mean.shape == middle.std.shape == (4, 8, 8)


def test_latents_are_in_the_scale_that_the_pipeline_decodes(sdxl: Any) -> None:
    photo = Photo("red.png", Image.new("RGB", (64, 64), "red"))
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
