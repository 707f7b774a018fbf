"""Training batches: the order of images and the weights of concepts."""

from typing import Any

import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.models.device import generator
from darkroom_runner.training.batches import Concept, TrainingImage, make_batch
from darkroom_runner.training.buckets import square_frame
from darkroom_runner.training.cached_latents import encode_photo
from darkroom_runner.training.dataset import Photo


def encoded(sdxl: Any, photos: list[Photo], prompt: str) -> list[TrainingImage]:
    return [
        TrainingImage(prompt, encode_photo(sdxl.vae, each, square_frame(each.size_px, 64), mirror=False))
        for each in photos
    ]


def test_every_photo_is_used_before_any_is_used_again(sdxl: Any, photos: list[Photo]) -> None:
    concept = Concept("a dog", encoded(sdxl, photos, "a dog"))
    means = [image.crops[0].mean for image in concept.images]
    batches = [make_batch([concept], Training(), number, generator(number)).latents[0] for number in range(3)]

    used = [int(torch.stack([(latents - mean).abs().mean() for mean in means]).argmin()) for latents in batches]

    assert sorted(used) == [0, 1, 2]


def test_a_class_image_with_its_weight_joins_each_photo(sdxl: Any, photos: list[Photo]) -> None:
    prior = Concept("dog", encoded(sdxl, photos, "dog"), weight=0.5)
    concepts = [Concept("sks dog", encoded(sdxl, photos, "sks dog"), prior=prior)]

    batch = make_batch(concepts, Training(batch_size=4), 0, generator(0))

    assert batch.prompts == ["sks dog"] * 4 + ["dog"] * 4
    assert batch.weights.tolist() == [0.25] * 4 + [0.125] * 4
    assert batch.latents.shape == (8, 4, 8, 8)
    assert batch.masks is None
