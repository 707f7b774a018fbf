"""Which photos are held out for evaluation."""

import pytest

from darkroom_runner.errors import DatasetInvalidError
from darkroom_runner.training.held_out import held_out_counts, split_held_out

PHOTOS = list("abcdefgh")


@pytest.mark.parametrize("count", [0, 1, 7])
def test_photos_are_split_by_seed(count: int) -> None:
    trained, held_out = split_held_out(PHOTOS, count, seed=3)

    assert (trained, held_out) == split_held_out(PHOTOS, count, seed=3)
    assert sorted(trained + held_out) == PHOTOS
    assert len(held_out) == count
    assert (trained, held_out) == (sorted(trained), sorted(held_out))


def test_another_seed_holds_out_other_photos() -> None:
    assert len({tuple(split_held_out(PHOTOS, 3, seed)[1]) for seed in range(10)}) > 5


def test_a_photo_to_train_on_must_be_left() -> None:
    with pytest.raises(DatasetInvalidError, match=r"training\.heldOutPhotos 8 leaves no photo to train on"):
        split_held_out(PHOTOS, 8, 0)


@pytest.mark.parametrize(
    ("sizes", "count", "expected"),
    [
        ({"a": 10}, 3, {"a": 3}),
        ({"a": 10, "b": 10}, 4, {"a": 2, "b": 2}),
        ({"a": 9, "b": 3}, 4, {"a": 3, "b": 1}),
        ({"a": 5, "b": 1}, 2, {"a": 2, "b": 0}),
        ({"a": 5, "b": 1}, 4, {"a": 4, "b": 0}),
        ({"a": 1}, 0, {"a": 0}),
    ],
)
def test_each_dataset_gives_its_share_and_keeps_a_photo(
    sizes: dict[str, int], count: int, expected: dict[str, int]
) -> None:
    assert held_out_counts(sizes, count) == expected


def test_more_held_out_photos_than_the_datasets_can_give_are_refused() -> None:
    with pytest.raises(DatasetInvalidError, match="heldOutPhotos 5 leaves too few photos to train on: there are 6"):
        held_out_counts({"a": 5, "b": 1}, 5)
