"""Training batches: the order of images and the weights of concepts."""

from typing import Any

import torch

from darkroom_runner.models.device import generator
from darkroom_runner.training.batches import Concept, make_batch
from darkroom_runner.training.cached_latents import encode_photo
from darkroom_runner.training.dataset import Photo


def test_every_photo_is_used_before_any_is_used_again(sdxl: Any, photos: list[Photo]) -> None:
    concept = Concept("a dog", [encode_photo(sdxl.vae, photo, 64, mirror=False) for photo in photos])
    means = [crops[0].mean for crops in concept.images]
    batches = [make_batch([concept], 1, number, 0, generator(number)).latents[0] for number in range(3)]

    used = [int(torch.stack([(latents - mean).abs().mean() for mean in means]).argmin()) for latents in batches]

    assert sorted(used) == [0, 1, 2]


def test_a_batch_has_equally_many_samples_of_each_concept_with_its_weight(sdxl: Any, photos: list[Photo]) -> None:
    images = [encode_photo(sdxl.vae, photo, 64, mirror=False) for photo in photos]
    concepts = [Concept("sks dog", images), Concept("dog", images, weight=0.5)]

    batch = make_batch(concepts, 4, 0, 0, generator(0))

    assert batch.concepts.tolist() == [0] * 4 + [1] * 4
    assert batch.weights.tolist() == [0.25] * 4 + [0.125] * 4
    assert batch.latents.shape == (8, 4, 8, 8)
