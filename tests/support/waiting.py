"""Polling for conditions in other processes."""

import time
from collections.abc import Callable
from typing import Any, Protocol

SHORTEST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.2
SHORTEST_TIMEOUT_SECONDS = 60.0
"""Only a failing test waits until a timeout; a busy machine may need most of it."""
PAUSE_SHARE = 0.05
"""Pause as a fraction of the time waited so far: polling takes CPU from the work that is waited for."""


class Wait(Protocol):
    def __call__(self, condition: Callable[[], Any], what: str, seconds: float = ...) -> Any:
        """The first true result of the condition; fails when there is none in time."""


def first_within(limit_seconds: float, attempt: Callable[[], float], attempts: int = 4) -> float:
    """The seconds of the first attempt that took less than the limit, otherwise of the last.

    A busy machine delays some attempts; a defect delays all of them.
    """
    for _ in range(attempts):
        seconds = attempt()
        if seconds < limit_seconds:
            break
    return seconds


def waiter(usual_seconds: float) -> Wait:
    """A `wait_until` with this timeout by default, but not less than `SHORTEST_TIMEOUT_SECONDS`."""
    default_seconds = max(usual_seconds, SHORTEST_TIMEOUT_SECONDS)

    def wait_until(condition: Callable[[], Any], what: str, seconds: float = default_seconds) -> Any:
        begin = time.monotonic()
        while not (found := condition()):
            waited = time.monotonic() - begin
            assert waited < seconds, f"{what}: not within {seconds:g} s"
            time.sleep(min(LONGEST_PAUSE_SECONDS, max(SHORTEST_PAUSE_SECONDS, PAUSE_SHARE * waited)))
        return found

    return wait_until
