"""Rate limiter for low-priority status updates: queue positions, and observed generations of finished jobs."""

import time
from collections.abc import Callable


class RateLimiter:
    """At most `count` in each window of `seconds`. A window starts with its first use.

    A fixed window, and not the token bucket of `telemetry/token_bucket.py`: a batch of updates is planned from the
    number that is left (`available`), and a new window admits the whole batch at once.
    """

    def __init__(self, count: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._used = 0
        self._window_end = clock()

    @property
    def available(self) -> int:
        return self._count if self._clock() >= self._window_end else self._count - self._used

    def use(self) -> None:
        if self._clock() >= self._window_end:
            self._used, self._window_end = 0, self._clock() + self._seconds
        self._used += 1

    def seconds_until_available(self) -> float | None:
        """None if one is available now."""
        return None if self.available > 0 else self._window_end - self._clock()
