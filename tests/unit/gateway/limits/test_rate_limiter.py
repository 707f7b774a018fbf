"""A token bucket per client: a minute's requests at once, then an even refill."""

import pytest

from darkroom_gateway.limits import rate_limiter
from darkroom_gateway.limits.rate_limiter import Allowance, RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_full_bucket_has_the_requests_of_a_minute() -> None:
    limiter = RateLimiter(3, Clock())

    taken = [limiter.take("alice") for _ in range(4)]

    assert [each.accepted for each in taken] == [True, True, True, False]
    assert [each.remaining for each in taken] == [2, 1, 0, 0]
    assert taken[0].reset_seconds == pytest.approx(20)
    assert taken[3].reset_seconds == pytest.approx(20)


def test_refused_request_takes_nothing_from_the_bucket() -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock)
    for _ in range(100):
        limiter.take("alice")

    clock.now += 1.0

    assert limiter.take("alice").accepted
    assert limiter.take("alice") == Allowance(False, 0, pytest.approx(1.0))


@pytest.mark.parametrize("requests", [1, 7, 60, 999, 100_000])
def test_rate_never_exceeds_a_bucket_and_its_refill(requests: int) -> None:
    clock = Clock()
    limiter = RateLimiter(requests, clock)
    accepted, step = 0, 60 / requests / 3

    for _ in range(3 * requests):
        accepted += limiter.take("alice").accepted
        clock.now += step

    assert requests <= accepted <= 2 * requests


def test_clients_have_their_own_buckets() -> None:
    limiter = RateLimiter(1, Clock())

    assert limiter.take("alice").accepted
    assert limiter.take("bob").accepted
    assert not limiter.take("alice").accepted


def test_memory_for_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "MAX_CLIENTS", 2)
    limiter = RateLimiter(1, Clock())
    for client in ("a", "b", "c"):
        limiter.take(client)

    assert not limiter.take("c").accepted
    assert limiter.take("a").accepted  # Forgotten.


def test_state_of_all_gateways_replaces_that_of_one_except_for_newer_requests() -> None:
    limiter = RateLimiter(6, Clock())
    limiter.record_taken()
    limiter.take("alice")
    [(client, count)] = limiter.drain_taken()
    limiter.take("alice")

    limiter.merge(client, 10.0 * (count + 2))  # Another gateway took two.

    assert [limiter.take("alice").remaining for _ in range(2)] == [1, 0]
    assert not limiter.take("alice").accepted
    assert limiter.drain_taken() == [("alice", 3)]
