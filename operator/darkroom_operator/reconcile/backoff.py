"""What is left alone for a while, because the API server refused it. Used by `reconcile.py`.

Waits grow for each slot, job and pod by itself, so that one that is refused for ever holds up nobody else.
"""

import time
from collections.abc import Callable, Hashable

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0
KEPT_SECONDS = 60.0
"""A refusal so long after the last one begins with the first wait again."""


class ExponentialBackoff:
    """Until when, and for how long, each is left alone."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, longest_seconds: float = LONGEST_WAIT_SECONDS
    ) -> None:
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._waits: dict[Hashable, tuple[float, float]] = {}

    def refused(self, key: Hashable) -> float:
        """Leave it alone, longer than the last time. The seconds."""
        self._prune()
        _, last = self._waits.get(key, (0.0, FIRST_WAIT_SECONDS / 2))
        seconds = min(2 * last, self._longest_seconds)
        self._waits[key] = self._clock() + seconds, seconds
        return seconds

    def accepted(self, key: Hashable) -> None:
        self._waits.pop(key, None)

    def remaining(self, key: Hashable) -> float:
        """Seconds that it is still to be left alone; 0 when it is not."""
        until, _ = self._waits.get(key, (0.0, 0.0))
        return max(0.0, until - self._clock())

    def soonest(self) -> float | None:
        """Seconds until something may be tried again; None when nothing waits."""
        waits = [seconds for key in self._waits if (seconds := self.remaining(key)) > 0]
        return min(waits, default=None)

    def __len__(self) -> int:
        return len(self._waits)

    def _prune(self) -> None:
        for key, (until, _) in list(self._waits.items()):
            if until + KEPT_SECONDS < self._clock():
                del self._waits[key]
