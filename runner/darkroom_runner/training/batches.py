"""Selects the cached latents of each training batch, deterministically from the seed and the batch number."""

from dataclasses import dataclass

import torch

from darkroom_runner.models.device import generator
from darkroom_runner.training.cached_latents import CachedLatents


@dataclass(frozen=True)
class Concept:
    """Images and the prompt that describes them: the subject, or the class for prior preservation."""

    prompt: str
    images: list[list[CachedLatents]]
    """For each image, the cached latents of its crops."""
    weight: float = 1.0
    """Weight of the concept in the loss."""


@dataclass(frozen=True)
class Batch:
    """The input of one forward pass with b samples."""

    latents: torch.Tensor
    """[b, 4, h, w], float32."""
    time_ids: torch.Tensor
    """[b, 6]"""
    concepts: torch.Tensor
    """[b]: index of each sample's concept, and so of its prompt."""
    weights: torch.Tensor
    """[b]: weight of each sample in the loss; those of a concept sum to the concept's weight."""


def make_batch(concepts: list[Concept], size: int, number: int, seed: int, rng: torch.Generator) -> Batch:
    """Batch `number` (from 0): `size` images of each concept. Every image is used once before any is used again."""
    samples = [
        (index, _pick_crop(concept.images[_image_index(len(concept.images), number * size + turn, seed, index)], rng))
        for index, concept in enumerate(concepts)
        for turn in range(size)
    ]
    return Batch(
        latents=torch.stack([cached.sample(rng) for _, cached in samples]),
        time_ids=torch.stack([cached.time_ids for _, cached in samples]),
        concepts=torch.tensor([index for index, _ in samples]),
        weights=torch.tensor([concepts[index].weight / size for index, _ in samples]),
    )


def _image_index(count: int, turn: int, seed: int, concept: int) -> int:
    """The image used in a turn; the order of a concept's images is shuffled again for each epoch."""
    epoch, position = divmod(turn, count)
    return int(torch.randperm(count, generator=generator(seed, concept, epoch))[position])


def _pick_crop(crops: list[CachedLatents], rng: torch.Generator) -> CachedLatents:
    return crops[int(torch.randint(len(crops), (1,), generator=rng))]
