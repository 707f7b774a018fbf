"""The current time by the API server's clock. All deadlines, backoffs and times to live use it.

Creation timestamps come from the API server, and the clock of the operator's machine may differ by minutes.
`kube/client.py` passes the Date header of every response to `observe`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

HEADER_RESOLUTION_SECONDS = 1.0
"""A Date header (RFC 9110, section 6.6.1) has whole seconds: it may be up to one second behind."""
Interval = tuple[float, float]
CORRECTION_SECONDS = 2.0
"""Narrowing the interval moves the time back by less than this. A larger step back means that the clock was set."""


class ServerClock:
    """An interval that contains the server's time, narrowed by every response and advanced by the monotonic clock.

    Until the first response it is the time of this machine.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._low = self._high = wall() - monotonic()
        """Bounds of the server's time, in seconds since 1970, minus the monotonic clock."""
        self._is_measured = False
        self._doubted: Interval | None = None
        """The interval of a response that contradicts the current one. It is adopted if a second response agrees."""
        self._last = 0.0
        """The last value that `now` returned, in seconds since 1970."""

    def now(self) -> datetime:
        """The time in UTC. It never goes back, unless the server's clock was set back."""
        seconds = self._monotonic() + (self._low + self._high) / 2
        if not 0 < self._last - seconds < CORRECTION_SECONDS:
            self._last = seconds
        return datetime.fromtimestamp(self._last, UTC)

    def observe(self, date: str | None, sent: float) -> None:
        """Narrow the interval by the Date header of a response; `sent` is when its request was sent (monotonic clock).

        A header that is missing (a proxy may drop it) or is not a date is ignored.
        """
        reported = _seconds(date)
        if reported is None:
            return
        found = reported - self._monotonic(), reported + HEADER_RESOLUTION_SECONDS - sent
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
