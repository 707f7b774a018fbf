"""Exponential backoff per key after refusals."""

from darkroom_operator.reconcile.backoff import (
    FIRST_WAIT_SECONDS,
    LONGEST_WAIT_SECONDS,
    RESET_SECONDS,
    ExponentialBackoff,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_waits_grow_to_a_limit() -> None:
    backoff = ExponentialBackoff(Clock())
    waits = [backoff.record_failure("slot") for _ in range(10)]
    assert waits[:3] == [FIRST_WAIT_SECONDS, 2 * FIRST_WAIT_SECONDS, 4 * FIRST_WAIT_SECONDS]
    assert waits[-1] == LONGEST_WAIT_SECONDS


def test_each_key_waits_for_itself() -> None:
    backoff = ExponentialBackoff(Clock())
    backoff.record_failure("one")
    assert backoff.remaining_seconds("one") > 0
    assert backoff.remaining_seconds("other") == 0


def test_a_wait_ends_with_its_time() -> None:
    clock = Clock()
    backoff = ExponentialBackoff(clock)
    seconds = backoff.record_failure("slot")
    assert backoff.next_retry_seconds() == backoff.remaining_seconds("slot") > 0
    clock.now += seconds
    assert backoff.remaining_seconds("slot") == 0
    assert backoff.next_retry_seconds() is None


def test_a_reset_key_starts_with_the_first_wait() -> None:
    backoff = ExponentialBackoff(Clock())
    for _ in range(5):
        backoff.record_failure("slot")
    backoff.reset("slot")
    assert backoff.remaining_seconds("slot") == 0
    assert backoff.record_failure("slot") == FIRST_WAIT_SECONDS


def test_old_failures_are_forgotten() -> None:
    clock = Clock()
    backoff = ExponentialBackoff(clock)
    for number in range(1000):
        clock.now += RESET_SECONDS
        backoff.record_failure(number)
    assert len(backoff) < 5
