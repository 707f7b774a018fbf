"""A token bucket per client, by the generic cell rate algorithm (GCRA). Pure; used by limits/middleware.py and
redis/shared_buckets.py.

The state of a client is one number: the time at which its bucket will be full again. A check takes about a
microsecond, because every poll passes through it (docs/decisions/0028-limits-and-quotas.md compares it with libraries).
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

WINDOW_SECONDS = 60.0

ROUNDING_SECONDS = 1e-6
"""More than the rounding error of a sum of times, which could refuse the last request of a bucket."""

MAX_CLIENTS = 10_000
"""Remembered clients. The least recently seen one is forgotten, which gives it a full bucket."""


class Allowance(NamedTuple):
    """What a client may still send."""

    accepted: bool
    remaining: int
    """Requests that would be accepted now."""
    reset_seconds: float
    """Until the next request is accepted, if none is now; otherwise until the bucket is full."""


class RateLimiter:
    """A bucket of `requests_per_minute` requests for each client, which refills evenly over a minute."""

    def __init__(self, requests_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.requests_per_minute = requests_per_minute
        self._interval = WINDOW_SECONDS / requests_per_minute
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()
        self._taken: dict[str, int] | None = None
        """Requests since they were last drained; None unless they are recorded."""

    @property
    def interval_seconds(self) -> float:
        """The time in which a bucket gets one request."""
        return self._interval

    def take(self, client: str) -> Allowance:
        """Take one request from the client's bucket, unless it is empty."""
        now = self._clock()
        full_at = max(self._full_at.get(client, now), now) + self._interval
        excess = full_at - now - WINDOW_SECONDS
        if excess > ROUNDING_SECONDS:
            return Allowance(False, 0, excess)
        self._store(client, full_at)
        if self._taken is not None:
            self._taken[client] = self._taken.get(client, 0) + 1
        return Allowance(True, max(0, int((ROUNDING_SECONDS - excess) / self._interval)), full_at - now)

    def record_taken(self) -> None:
        """From now on record what each client takes, for `drain_taken`."""
        self._taken = {}

    def drain_taken(self, limit: int | None = None) -> list[tuple[str, int]]:
        """Up to `limit` clients with the requests that they have taken since they were last drained."""
        taken = self._taken or {}
        clients = list(taken)[:limit]
        return [(client, taken.pop(client)) for client in clients]

    def merge(self, client: str, full_in_seconds: float) -> None:
        """The bucket that all gateways share is full in these seconds, without what this one has recorded since."""
        recorded = (self._taken or {}).get(client, 0)
        self._store(client, self._clock() + full_in_seconds + recorded * self._interval)

    def _store(self, client: str, full_at: float) -> None:
        self._full_at[client] = full_at
        self._full_at.move_to_end(client)
        if len(self._full_at) > MAX_CLIENTS:
            forgotten, _ = self._full_at.popitem(last=False)
            if self._taken is not None:
                self._taken.pop(forgotten, None)
