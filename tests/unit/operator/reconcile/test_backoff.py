"""How long what was refused is left alone."""

from darkroom_operator.reconcile.backoff import (
    FIRST_WAIT_SECONDS,
    KEPT_SECONDS,
    LONGEST_WAIT_SECONDS,
    ExponentialBackoff,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_waits_grow_to_a_limit() -> None:
    patience = ExponentialBackoff(Clock())
    waits = [patience.refused("slot") for _ in range(10)]
    assert waits[:3] == [FIRST_WAIT_SECONDS, 2 * FIRST_WAIT_SECONDS, 4 * FIRST_WAIT_SECONDS]
    assert waits[-1] == LONGEST_WAIT_SECONDS


def test_each_waits_for_itself() -> None:
    patience = ExponentialBackoff(Clock())
    patience.refused("one")
    assert patience.remaining("one") > 0
    assert patience.remaining("other") == 0


def test_a_wait_ends_with_its_time() -> None:
    clock = Clock()
    patience = ExponentialBackoff(clock)
    seconds = patience.refused("slot")
    assert patience.soonest() == patience.remaining("slot") > 0
    clock.now += seconds
    assert patience.remaining("slot") == 0
    assert patience.soonest() is None


def test_what_was_accepted_begins_with_the_first_wait_again() -> None:
    patience = ExponentialBackoff(Clock())
    for _ in range(5):
        patience.refused("slot")
    patience.accepted("slot")
    assert patience.remaining("slot") == 0
    assert patience.refused("slot") == FIRST_WAIT_SECONDS


def test_old_refusals_are_forgotten() -> None:
    clock = Clock()
    patience = ExponentialBackoff(clock)
    for number in range(1000):
        clock.now += KEPT_SECONDS
        patience.refused(number)
    assert len(patience) < 5
