"""Which images each batch has: buckets, repeats, epochs and class images, by seed and number alone."""

from collections import Counter

import pytest

from darkroom_runner.training.batch_order import BatchOrder, ImageGroup, Shape, batch_order

SQUARE, WIDE, TALL = (16, 16), (12, 20), (20, 12)


def order(*shapes: Shape, batch_size: int = 1, seed: int = 0, repeats: int = 1) -> BatchOrder:
    return batch_order([ImageGroup(shapes, repeats)], batch_size, seed)


def images(order: BatchOrder, batches: range) -> list[tuple[int, int]]:
    """Concept and image of all samples."""
    return [(pick.concept, pick.image) for number in batches for pick in order.picks(number)]


MIXED = (SQUARE, WIDE, WIDE, TALL, SQUARE, WIDE, TALL)


@pytest.mark.parametrize("seed", range(5))
def test_every_image_is_used_once_before_any_is_used_again(seed: int) -> None:
    mixed = order(*MIXED, seed=seed)

    for epoch in range(3):
        used = images(mixed, range(7 * epoch, 7 * epoch + 7))
        assert sorted(used) == [(0, image) for image in range(7)]


def test_epochs_and_seeds_have_different_orders() -> None:
    first, second = images(order(*MIXED), range(7)), images(order(*MIXED), range(7, 14))

    assert first != second
    assert first != images(order(*MIXED, seed=1), range(7))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_a_batch_has_images_of_one_shape(batch_size: int) -> None:
    mixed = order(*MIXED, batch_size=batch_size)

    for number in range(40):
        picks = mixed.picks(number)
        assert len(picks) == batch_size
        assert len({MIXED[pick.image] for pick in picks}) == 1
        assert mixed.shapes[picks[0].bucket] == MIXED[picks[0].image]


def test_a_batch_larger_than_its_bucket_wraps_around() -> None:
    small = order(SQUARE, SQUARE, WIDE, batch_size=5)

    for number in range(6):
        counts = Counter(pick.image for pick in small.picks(number))
        assert set(counts) in ({0, 1}, {2})
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_images_of_small_and_large_buckets_are_shown_equally_often(batch_size: int) -> None:
    mixed = order(*MIXED, batch_size=batch_size)

    counts = Counter(images(mixed, range(7 * 4)))

    assert set(counts.values()) == {batch_size * 4}


def test_buckets_are_evenly_spread() -> None:
    """Six of ten images are square: in any five batches in a row, about three are."""
    mixed = order(*[SQUARE] * 6, *[WIDE] * 4, batch_size=2)
    square = [mixed.shapes[mixed.picks(number)[0].bucket] == SQUARE for number in range(100)]

    for first in range(95):
        assert 1 <= sum(square[first : first + 5]) <= 5


def test_images_are_shown_in_proportion_to_repeats() -> None:
    groups = [ImageGroup((SQUARE, WIDE), 3), ImageGroup((SQUARE, SQUARE, TALL), 1)]

    counts = Counter(images(batch_order(groups, 2, 0), range(9 * 4)))

    assert {counts[0, image] for image in range(2)} == {24}
    assert {counts[1, image] for image in range(3)} == {8}


def test_equal_repeats_change_nothing() -> None:
    assert images(order(*MIXED, repeats=7), range(20)) == images(order(*MIXED), range(20))


def test_the_images_of_a_batch_depend_on_its_number_alone() -> None:
    groups = (ImageGroup(MIXED, 2), ImageGroup((WIDE, TALL), 1))
    in_order = [BatchOrder(groups, 2, 3).picks(number) for number in range(50)]

    resumed = BatchOrder(groups, 2, 3)

    assert [resumed.picks(number) for number in range(30, 50)] == in_order[30:]


def test_class_images_are_all_used_before_any_is_used_again() -> None:
    groups = [ImageGroup((SQUARE, WIDE, SQUARE), 2), ImageGroup((SQUARE, WIDE), 1)]
    mixed = batch_order(groups, 2, 0)
    joined: dict[tuple[int, int], list[int]] = {}
    for number in range(60):
        for pick in mixed.picks(number):
            joined.setdefault((pick.concept, pick.bucket), []).append(mixed.class_image(pick, 4))

    assert len(joined) == 4
    for used in joined.values():
        for first in range(0, len(used) - 3, 4):
            assert sorted(used[first : first + 4]) == [0, 1, 2, 3]


def test_hundreds_of_photos_with_many_repeats_are_fast() -> None:
    """The largest job: nine datasets of 100 photos. Each batch takes well under the time of a step."""
    groups = [ImageGroup(tuple((16, 16 + image % 4) for image in range(100)), 100 - concept) for concept in range(9)]
    largest = batch_order(groups, 4, 0)

    assert len({(pick.concept, pick.image) for number in range(100) for pick in largest.picks(number)}) > 200
