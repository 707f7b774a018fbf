"""Whether the backends answer. Asked by /readyz; each check has a thread of its own, and never two.

Probes come every few seconds, from anybody, also while a server stands still. So a probe that comes while a check is
in progress waits for that one, and requests in progress can't keep a check from beginning.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum

from anyio import CapacityLimiter, to_thread

from darkroom_gateway.backends.deadlines import READY_SECONDS
from darkroom_gateway.errors import GatewayError


class BackendName(StrEnum):
    """What is checked."""

    CLUSTER = "cluster"
    STORAGE = "storage"


TITLES = {BackendName.CLUSTER: "The API server", BackendName.STORAGE: "Object storage"}


class Readiness:
    """The checks, by the names of the backends."""

    def __init__(self, checks: Mapping[BackendName, Callable[[], None]]) -> None:
        self._checks = {name: _Check(door) for name, door in checks.items()}

    async def faults(self) -> dict[BackendName, str]:
        """What is wrong, by backend; empty when all answer. Takes at most `READY_SECONDS`."""
        running = {name: check.running() for name, check in self._checks.items()}
        await asyncio.wait(running.values(), timeout=READY_SECONDS)
        found = {name: _fault(name, task) for name, task in running.items()}
        for name, check in self._checks.items():
            check.answered = check.answered or found[name] is None
        return {name: fault for name, fault in found.items() if fault is not None}

    def has_answered(self, name: BackendName) -> bool:
        """Whether it has answered once since the process started."""
        return self._checks[name].answered


class _Check:
    def __init__(self, door: Callable[[], None]) -> None:
        self._door = door
        self._limiter = CapacityLimiter(1)
        self._task: asyncio.Task[None] | None = None
        self.answered = False

    def running(self) -> "asyncio.Task[None]":
        """The check that is in progress, or a new one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(to_thread.run_sync(self._door, limiter=self._limiter))
            self._task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return self._task


def _fault(name: BackendName, check: "asyncio.Task[None]") -> str | None:
    if not check.done():
        return f"{TITLES[name]} did not answer within {READY_SECONDS:g} s."
    error = check.exception()
    if error is not None and not isinstance(error, GatewayError):
        raise error
    return None if error is None else str(error)
