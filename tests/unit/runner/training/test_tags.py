"""Caption dropout and tag shuffling."""

from collections import Counter

import pytest
import torch

from darkroom_contract.specs.training import Training
from darkroom_runner.training.tags import has_tags_to_shuffle, shown_prompt, shuffle_tags

TAGS = "sks dog, grass, sun, red collar, wide shot"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_the_first_tags_stay_and_the_others_are_shuffled(keep: int) -> None:
    tags, orders = TAGS.split(", "), set[str]()
    for seed in range(30):
        shuffled = shuffle_tags(TAGS, keep, rng(seed)).split(", ")
        assert shuffled[:keep] == tags[:keep]
        assert sorted(shuffled) == sorted(tags)
        orders.add(", ".join(shuffled))

    assert len(orders) > 1


@pytest.mark.parametrize("prompt", ["a photo of sks dog", "sks dog, grass", "", "sks dog,"])
def test_a_prompt_without_two_tags_to_move_stays(prompt: str) -> None:
    assert shuffle_tags(prompt, 1, rng()) == prompt
    assert not has_tags_to_shuffle(prompt, 1)


def test_more_kept_tags_than_tags_keep_all() -> None:
    assert shuffle_tags(TAGS, 50, rng()) == TAGS
    assert has_tags_to_shuffle(TAGS, 1)


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
def test_captions_are_dropped_with_their_probability(probability: float) -> None:
    training, generator = Training(caption_dropout=probability), rng()

    counts = Counter(shown_prompt(TAGS, training, generator) for _ in range(1000))

    assert set(counts) <= {"", TAGS}
    assert counts[""] == pytest.approx(1000 * probability, abs=50)


def test_the_random_numbers_of_a_sample_do_not_depend_on_the_text_of_others() -> None:
    training = Training(shuffle_tags=True)
    one, other = rng(), rng()
    shown_prompt("no tags", training, one)
    shown_prompt(TAGS, training, other)

    assert shown_prompt(TAGS, training, one) == shown_prompt(TAGS, training, other)
