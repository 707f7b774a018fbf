"""Whether kopf's watches show what there is: what they have shown, held against what the API server has answered.

`handlers.py` tells what came through a watch and all of kopf behind it; `leadership.py` and `resync.py` tell what
their requests were answered, which a watch must show as well. `health.py` asks. A request that is not answered excuses
the watches too: an operator that can't reach the API server is not helped by being started again.
"""

import time
from collections.abc import Callable


class WatchMonitor:
    """The newest resource version that each watch has shown, by plural."""

    def __init__(self, stuck_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stuck_seconds = stuck_seconds
        self._monotonic = monotonic
        self._shown: dict[str, int] = {}
        self._missing: dict[str, tuple[int, float]] = {}
        """The oldest version that a watch still has to show, and since when."""

    def show(self, plural: str, version: int) -> None:
        """A watch has brought an object at this version."""
        self._shown[plural] = max(version, self._shown.get(plural, 0))
        if plural in self._missing and self._missing[plural][0] <= version:
            del self._missing[plural]

    def expect(self, plural: str, version: int) -> None:
        """The API server has answered with an object at this version."""
        if version > self._shown.get(plural, 0):
            self._missing.setdefault(plural, (version, self._monotonic()))

    def expect_no_more(self, plural: str, version: int) -> None:
        """A whole list has nothing newer than this: what was newer is gone, and need not be shown."""
        if plural in self._missing and self._missing[plural][0] > version:
            del self._missing[plural]

    def excuse(self) -> None:
        """The API server did not answer."""
        self._missing.clear()

    def liveness_error(self) -> str | None:
        """What is wrong; None when nothing is known to be."""
        for plural, (version, since) in self._missing.items():
            seconds = self._monotonic() - since
            if seconds > self._stuck_seconds:
                return f"the watch of {plural} has not shown version {version}, which was read {seconds:.0f} s ago"
        return None
