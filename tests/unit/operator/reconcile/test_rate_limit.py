"""So many in any span of so many seconds."""

from darkroom_operator.reconcile.rate_limit import RateLimiter


def test_what_is_used_up_comes_back_when_the_span_is_over() -> None:
    now = [100.0]
    allowance = RateLimiter(2, 5.0, lambda: now[0])
    assert (allowance.left, allowance.seconds_until_more()) == (2, None)
    allowance.use()
    now[0] += 4
    allowance.use()
    assert (allowance.left, allowance.seconds_until_more()) == (0, 1.0)
    now[0] += 1
    assert (allowance.left, allowance.seconds_until_more()) == (2, None)


def test_a_span_begins_with_the_first_use_in_it() -> None:
    now = [100.0]
    allowance = RateLimiter(1, 5.0, lambda: now[0])
    now[0] += 50
    allowance.use()
    now[0] += 4
    assert allowance.left == 0
