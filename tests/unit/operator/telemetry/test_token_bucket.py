"""The token bucket: a burst, and a steady rate after it."""

from support.event_stage import Clock

from darkroom_operator.telemetry.token_bucket import TokenBucket


def test_it_gives_a_burst_and_then_a_steady_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(3, 0.5, clock)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert bucket.seconds_until_next() == 2.0
    clock.now += 2
    assert (bucket.seconds_until_next(), bucket.take(), bucket.take()) == (0.0, True, False)


def test_it_never_holds_more_than_the_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(2, 10.0, clock)
    clock.now += 3600
    assert [bucket.take() for _ in range(3)] == [True, True, False]
