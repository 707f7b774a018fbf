"""Waiting for what happens in other processes, which tell nobody when it is done."""

import time
from collections.abc import Callable
from typing import Any, Protocol

LOOK_AGAIN_SECONDS = 0.02


class Wait(Protocol):
    def __call__(self, condition: Callable[[], Any], what: str, seconds: float = ...) -> Any:
        """What the condition returns as soon as that is something; fails when it is nothing for too long."""


def patience(usual_seconds: float) -> Wait:
    """A `wait_until` that waits so long when it is told nothing else."""

    def wait_until(condition: Callable[[], Any], what: str, seconds: float = usual_seconds) -> Any:
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
            time.sleep(LOOK_AGAIN_SECONDS)
        return found

    return wait_until
