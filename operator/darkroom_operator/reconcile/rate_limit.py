"""Rate limit for status updates that are not urgent: new places in the queue, newer generations of finished jobs. Used
by `reconcile.py`."""

import time
from collections.abc import Callable


class RateLimiter:
    """So many in any span of so many seconds; a span begins with the first one in it."""

    def __init__(self, count: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = count
        self._seconds = seconds
        self._clock = clock
        self._used = 0
        self._ends = clock()

    @property
    def left(self) -> int:
        return self._count if self._clock() >= self._ends else self._count - self._used

    def use(self) -> None:
        """One of them."""
        if self._clock() >= self._ends:
            self._used, self._ends = 0, self._clock() + self._seconds
        self._used += 1

    def seconds_until_more(self) -> float | None:
        """None while there is some left."""
        return None if self.left > 0 else self._ends - self._clock()
