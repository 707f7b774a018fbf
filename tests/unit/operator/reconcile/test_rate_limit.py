"""The rate limiter for low-priority updates."""

from darkroom_operator.reconcile.rate_limit import RateLimiter


def test_used_updates_are_available_again_when_the_window_ends() -> None:
    now = [100.0]
    limiter = RateLimiter(2, 5.0, lambda: now[0])
    assert (limiter.available, limiter.seconds_until_available()) == (2, None)
    limiter.use()
    now[0] += 4
    limiter.use()
    assert (limiter.available, limiter.seconds_until_available()) == (0, 1.0)
    now[0] += 1
    assert (limiter.available, limiter.seconds_until_available()) == (2, None)


def test_a_window_starts_with_its_first_use() -> None:
    now = [100.0]
    limiter = RateLimiter(1, 5.0, lambda: now[0])
    now[0] += 50
    limiter.use()
    now[0] += 4
    assert limiter.available == 0
