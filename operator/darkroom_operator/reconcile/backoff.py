"""Exponential backoff per key after refusals by the API server. Used by `controller.py`.

Each slot, job and pod has its own backoff, so one that is refused permanently does not delay the others.
"""

import time
from collections.abc import Callable, Hashable

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0
RESET_SECONDS = 60.0
"""A refusal this long after the end of the last wait starts with the first wait again."""


class ExponentialBackoff:
    """The current wait of each key."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, longest_seconds: float = LONGEST_WAIT_SECONDS
    ) -> None:
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._waits: dict[Hashable, tuple[float, float]] = {}
        """The end of the wait, and its length."""

    def record_failure(self, key: Hashable) -> float:
        """Start a wait, twice as long as the last one. Returns its seconds."""
        self._prune()
        _, last = self._waits.get(key, (0.0, FIRST_WAIT_SECONDS / 2))
        seconds = min(2 * last, self._longest_seconds)
        self._waits[key] = self._clock() + seconds, seconds
        return seconds

    def reset(self, key: Hashable) -> None:
        self._waits.pop(key, None)

    def remaining_seconds(self, key: Hashable) -> float:
        """Until the key may be tried again; 0 if it may now."""
        until, _ = self._waits.get(key, (0.0, 0.0))
        return max(0.0, until - self._clock())

    def next_retry_seconds(self) -> float | None:
        """Until any key may be tried again; None if no key waits."""
        waits = [seconds for key in self._waits if (seconds := self.remaining_seconds(key)) > 0]
        return min(waits, default=None)

    def __len__(self) -> int:
        return len(self._waits)

    def _prune(self) -> None:
        for key, (until, _) in list(self._waits.items()):
            if until + RESET_SECONDS < self._clock():
                del self._waits[key]
