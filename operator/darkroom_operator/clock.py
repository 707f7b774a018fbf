"""The present by the API server's clock. All deadlines, waits and times to live are measured by it.

Creation times of objects are the API server's; the clock of the operator's own machine may be minutes away from it.
`cluster.py` shows every answer's Date header here; whoever decides asks for `now`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HEADER_RESOLUTION_SECONDS = 1.0
"""A Date header (RFC 9110, section 6.6.1) has whole seconds: the moment that it names may be a second ago."""
Interval = tuple[float, float]
CORRECTION_SECONDS = 2.0
"""A narrower interval corrects the time by less; what goes back further was set."""


class ServerClock:
    """An interval in which the server's time is known to lie, narrowed by every answer, carried on by the monotonic
    clock. Until the first answer it is this machine's own time."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._low = self._high = wall() - monotonic()
        """Bounds of the server's time, in seconds since 1970, minus the monotonic clock."""
        self._is_measured = False
        self._doubted: Interval | None = None
        """An answer that contradicts what is known: the second one that says so is believed."""
        self._last = 0.0
        """What `now` last returned, in seconds since 1970."""

    def now(self) -> datetime:
        """In UTC. It never runs backwards, unless the server's clock was set back."""
        seconds = self._monotonic() + (self._low + self._high) / 2
        if not 0 < self._last - seconds < CORRECTION_SECONDS:
            self._last = seconds
        return datetime.fromtimestamp(self._last, UTC)

    def observe(self, date: str | None, sent: float) -> None:
        """Learn from an answer with this Date header, to a request that was sent at `sent` of the monotonic clock.

        What is no date teaches nothing: a proxy may leave the header out.
        """
        told = _seconds(date)
        if told is None:
            return
        found = told - self._monotonic(), told + HEADER_RESOLUTION_SECONDS - sent
        if not self._is_measured:
            self._low, self._high = found
        elif (both := _overlap(found, (self._low, self._high))) is not None:
            self._low, self._high = both
        elif self._doubted is None or (agreed := _overlap(found, self._doubted)) is None:
            self._doubted = found
            return
        else:
            self._low, self._high = agreed
        self._is_measured, self._doubted = True, None


def _overlap(one: Interval, other: Interval) -> Interval | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low <= high else None


def _seconds(date: str | None) -> float | None:
    try:
        found = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
