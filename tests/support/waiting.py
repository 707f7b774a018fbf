"""Polling for conditions in other processes."""

import time
from collections.abc import Callable
from typing import Any, Protocol

SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.2
PAUSE_SHARE = 0.05
"""Pause as a fraction of the time waited so far: polling takes CPU from the work that is waited for."""


class Wait(Protocol):
    def __call__(self, condition: Callable[[], Any], what: str, seconds: float = ...) -> Any:
        """The first true result of the condition; fails when there is none in time."""


def waiter(usual_seconds: float) -> Wait:
    """A `wait_until` with this timeout by default."""

    def wait_until(condition: Callable[[], Any], what: str, seconds: float = usual_seconds) -> Any:
        begin = time.monotonic()
        while not (found := condition()):
            waited = time.monotonic() - begin
            assert waited < seconds, f"{what}: not within {seconds:g} s"
            time.sleep(min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, PAUSE_SHARE * waited)))
        return found

    return wait_until
