"""Token bucket: a burst, and a steady rate after it. Limits how many Events are posted (`event_recorder.py`)."""

from collections.abc import Callable


class TokenBucket:
    """Full at first; a token returns every `1 / per_second` seconds.

    Smooths a stream of single Events. Batches of status updates have a fixed window: `reconcile/rate_limit.py`.
    """

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._tokens = float(burst)
        self._counted_at = clock()

    def take(self) -> bool:
        """Take a token. False when there is none."""
        self._refill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def seconds_until_next(self) -> float:
        """Until there is a token; 0 when there is one."""
        self._refill()
        return max(0.0, (1 - self._tokens) / self._per_second)

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._per_second)
        self._counted_at = now
