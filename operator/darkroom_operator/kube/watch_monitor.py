"""Detects stuck watches: compares what kopf's watches have delivered with what the API server has answered.

`cache/handlers.py` reports what the watches deliver. `leader_election.py` and `cache/resync.py` report resource
versions from their own responses, which a working watch delivers as well. The liveness probe calls `liveness_error`.
A request without an answer resets the monitor: restarting an operator that can't reach the API server does not help.
"""

import time
from collections.abc import Callable


class WatchMonitor:
    """The newest resource version that each watch has delivered, by plural."""

    def __init__(self, stuck_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stuck_seconds = stuck_seconds
        self._monotonic = monotonic
        self._delivered: dict[str, int] = {}
        self._missing: dict[str, tuple[int, float]] = {}
        """The oldest version that a watch has not delivered yet, and since when it is missing."""

    def record_delivered(self, plural: str, version: int) -> None:
        """A watch has delivered an object at this version."""
        self._delivered[plural] = max(version, self._delivered.get(plural, 0))
        if plural in self._missing and self._missing[plural][0] <= version:
            del self._missing[plural]

    def expect(self, plural: str, version: int) -> None:
        """The API server has answered with an object at this version."""
        if version > self._delivered.get(plural, 0):
            self._missing.setdefault(plural, (version, self._monotonic()))

    def cap_expected(self, plural: str, version: int) -> None:
        """A complete list has nothing newer than this version: newer objects were deleted, no watch delivers them."""
        if plural in self._missing and self._missing[plural][0] > version:
            del self._missing[plural]

    def reset(self) -> None:
        """The API server did not answer."""
        self._missing.clear()

    def liveness_error(self) -> str | None:
        """Which watch is stuck; None if all work."""
        for plural, (version, since) in self._missing.items():
            seconds = self._monotonic() - since
            if seconds > self._stuck_seconds:
                return f"the watch of {plural} has not delivered version {version}, which was read {seconds:.0f} s ago"
        return None
