"""Which images each training batch has: a pure function of the seed and the batch number.

Images of one latent shape form a bucket, and a batch has images of one bucket (diffusers 3794, 7908). Each bucket is a
stream of its images, shuffled again for each epoch: every image is used once before any is used again, and a batch that
is larger than its bucket wraps around. Buckets get batches in proportion to their images, evenly spread, so that each
image is shown equally often; `repeats` counts an image several times.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from darkroom_runner.models.device import generator

Shape = tuple[int, int]
"""Height and width of latents."""


@dataclass(frozen=True)
class ImageGroup:
    """The images of a concept, as far as their order depends on them."""

    shapes: tuple[Shape, ...]
    """Of each image."""
    repeats: int = 1


@dataclass(frozen=True)
class Pick:
    """One image of a batch."""

    concept: int
    image: int
    bucket: int
    """Index of its shape."""
    turn: int
    """Number of images of the same concept and bucket that were picked before."""


@dataclass(frozen=True)
class BatchOrder:
    """The images of all batches of a training. Hashable, so that `batch_order` can keep it between two batches."""

    groups: tuple[ImageGroup, ...]
    batch_size: int
    seed: int

    @cached_property
    def shapes(self) -> list[Shape]:
        return sorted({shape for group in self.groups for shape in group.shapes})

    @cached_property
    def _buckets(self) -> list[list[tuple[int, int]]]:
        """Concept and image of each entry of each bucket."""
        unit = math.gcd(*(group.repeats for group in self.groups))
        buckets: dict[Shape, list[tuple[int, int]]] = {shape: [] for shape in self.shapes}
        for concept, group in enumerate(self.groups):
            for image, shape in enumerate(group.shapes):
                buckets[shape] += [(concept, image)] * (group.repeats // unit)
        return list(buckets.values())

    @cached_property
    def _concepts(self) -> list[torch.Tensor]:
        """For each bucket, the concept of each entry."""
        return [torch.tensor([concept for concept, _ in entries]) for entries in self._buckets]

    def picks(self, number: int) -> list[Pick]:
        """The images of batch `number`, from 0."""
        bucket, turn = self._bucket_of(number)
        return [self._pick(bucket, turn * self.batch_size + each) for each in range(self.batch_size)]

    def class_image(self, pick: Pick, count: int) -> int:
        """Which of `count` class images of the pick's shape joins it."""
        key = 2 * (pick.bucket + len(self.shapes) * pick.concept) + 1
        epoch, position = divmod(pick.turn, count)
        return int(_permutation(self.seed, key, epoch, count)[position])

    def _bucket_of(self, number: int) -> tuple[int, int]:
        """The bucket of a batch, and how many batches it had before."""
        if len(self._buckets) == 1:
            return 0, number
        sizes = [len(entries) for entries in self._buckets]
        unit = math.gcd(*sizes)
        shares = tuple(size // unit for size in sizes)
        cycle, position = divmod(number, sum(shares))
        order = _spread(self.seed, cycle, shares)
        bucket = order[position]
        return bucket, cycle * shares[bucket] + order[:position].count(bucket)

    def _pick(self, bucket: int, turn: int) -> Pick:
        entries, concepts = self._buckets[bucket], self._concepts[bucket]
        epoch, position = divmod(turn, len(entries))
        order = _permutation(self.seed, 2 * bucket, epoch, len(entries))
        concept, image = entries[int(order[position])]
        earlier = int((concepts[order[:position]] == concept).sum())
        return Pick(concept, image, bucket, epoch * int((concepts == concept).sum()) + earlier)


@lru_cache(maxsize=4)
def _kept(order: BatchOrder) -> BatchOrder:
    return order


def batch_order(groups: Sequence[ImageGroup], batch_size: int, seed: int) -> BatchOrder:
    """The order of a training's batches; the same object for the same arguments."""
    return _kept(BatchOrder(tuple(groups), batch_size, seed))


@lru_cache(maxsize=32)
def _permutation(seed: int, key: int, epoch: int, count: int) -> torch.Tensor:
    return torch.randperm(count, generator=generator(seed, key, epoch))


@lru_cache(maxsize=4)
def _spread(seed: int, cycle: int, shares: tuple[int, ...]) -> tuple[int, ...]:
    """Each bucket as often as its share, evenly spread: its k-th of n batches is at a random time in [k/n, (k+1)/n)."""
    rng = generator(seed, cycle, *shares)
    times = [
        ((turn + float(jitter)) / share, bucket)
        for bucket, share in enumerate(shares)
        for turn, jitter in enumerate(torch.rand(share, generator=rng))
    ]
    return tuple(bucket for _, bucket in sorted(times))
