"""So many in any span of so many seconds."""

from darkroom_operator.reconcile.rate_limit import RateLimiter


def test_what_is_used_up_comes_back_when_the_span_is_over() -> None:
    now = [100.0]
    limiter = RateLimiter(2, 5.0, lambda: now[0])
    assert (limiter.available, limiter.seconds_until_available()) == (2, None)
    limiter.use()
    now[0] += 4
    limiter.use()
    assert (limiter.available, limiter.seconds_until_available()) == (0, 1.0)
    now[0] += 1
    assert (limiter.available, limiter.seconds_until_available()) == (2, None)


def test_a_span_begins_with_the_first_use_in_it() -> None:
    now = [100.0]
    limiter = RateLimiter(1, 5.0, lambda: now[0])
    now[0] += 50
    limiter.use()
    now[0] += 4
    assert limiter.available == 0
