"""Splits off the photos on which the held-out loss is measured. Imports no torch."""

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

from darkroom_runner.errors import DatasetInvalidError

T = TypeVar("T")
K = TypeVar("K")


def split_held_out(photos: Sequence[T], count: int, seed: int) -> tuple[list[T], list[T]]:
    """The photos to train on and `count` held-out ones, both in their order; the same for the same arguments.

    Raises `DatasetInvalidError` if none would be left to train on.
    """
    if count >= len(photos):
        raise DatasetInvalidError(
            f"training.heldOutPhotos {count} leaves no photo to train on: there are {len(photos)}. Lower it, or add "
            "photos."
        )
    held_out = set(random.Random(seed).sample(range(len(photos)), count))  # noqa: S311 (no secret)
    return (
        [photo for index, photo in enumerate(photos) if index not in held_out],
        [photo for index, photo in enumerate(photos) if index in held_out],
    )


def held_out_counts(sizes: Mapping[K, int], count: int) -> dict[K, int]:
    """How many of `count` held-out photos each dataset gives: as even a share of its photos as possible, and never all.

    Raises `DatasetInvalidError` if the datasets together have too few.
    """
    if count > 0 and count > sum(sizes.values()) - len(sizes):
        raise DatasetInvalidError(
            f"training.heldOutPhotos {count} leaves too few photos to train on: there are {sum(sizes.values())}, and "
            "each dataset needs one. Lower it, or add photos."
        )
    counts = dict.fromkeys(sizes, 0)
    for _ in range(count):
        # The dataset that would have the smallest share held out; the largest one on a tie.
        open_ones = [key for key, size in sizes.items() if counts[key] < size - 1]
        chosen = min(open_ones, key=lambda key: ((counts[key] + 1) / sizes[key], -sizes[key]))
        counts[chosen] += 1
    return counts
