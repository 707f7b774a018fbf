"""Waiting for what happens in other processes, which tell nobody when it is done."""

import time
from collections.abc import Callable
from typing import Any, Protocol

LOOK_AGAIN_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.2
PAUSE_SHARE = 0.05
"""Of the time waited so far. A look costs several processes some work, on the cores that do what is waited for."""


class Wait(Protocol):
    def __call__(self, condition: Callable[[], Any], what: str, seconds: float = ...) -> Any:
        """What the condition returns as soon as that is something; fails when it is nothing for too long."""


def patience(usual_seconds: float) -> Wait:
    """A `wait_until` that waits so long when it is told nothing else."""

    def wait_until(condition: Callable[[], Any], what: str, seconds: float = usual_seconds) -> Any:
        begin = time.monotonic()
        while not (found := condition()):
            waited = time.monotonic() - begin
            assert waited < seconds, f"{what}: not within {seconds:g} s"
            time.sleep(min(LONGEST_PAUSE_SECONDS, max(LOOK_AGAIN_SECONDS, PAUSE_SHARE * waited)))
        return found

    return wait_until
