"""Readiness checks of the backends, for /readyz.

Each check has its own thread, so concurrent requests can't delay it. A probe that arrives while a check is running
joins it: probes keep coming while a backend hangs, and must not pile up.
"""

import asyncio
from collections.abc import Callable, Mapping
from enum import StrEnum

from anyio import CapacityLimiter, to_thread

from darkroom_gateway.backends.deadlines import READY_SECONDS
from darkroom_gateway.errors import GatewayError


class BackendName(StrEnum):
    """A backend that is checked."""

    CLUSTER = "cluster"
    STORAGE = "storage"


TITLES = {BackendName.CLUSTER: "The API server", BackendName.STORAGE: "Object storage"}


class ReadinessChecks:
    """One check per backend. A check raises `GatewayError` when its backend does not respond."""

    def __init__(self, checks: Mapping[BackendName, Callable[[], None]]) -> None:
        self._checks = {name: _Check(check) for name, check in checks.items()}

    async def faults(self) -> dict[BackendName, str]:
        """What is wrong, by backend; empty when all respond. Takes at most `READY_SECONDS`."""
        running = {name: check.running() for name, check in self._checks.items()}
        await asyncio.wait(running.values(), timeout=READY_SECONDS)
        found = {name: _fault(name, task) for name, task in running.items()}
        for name, check in self._checks.items():
            check.answered = check.answered or found[name] is None
        return {name: fault for name, fault in found.items() if fault is not None}

    def has_answered(self, name: BackendName) -> bool:
        """Whether the backend has responded since the process started."""
        return self._checks[name].answered


class _Check:
    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._limiter = CapacityLimiter(1)
        self._task: asyncio.Task[None] | None = None
        self.answered = False

    def running(self) -> "asyncio.Task[None]":
        """The running check, or a new one."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(to_thread.run_sync(self._check, limiter=self._limiter))
            self._task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return self._task


def _fault(name: BackendName, check: "asyncio.Task[None]") -> str | None:
    if not check.done():
        return f"{TITLES[name]} did not answer within {READY_SECONDS:g} s."
    error = check.exception()
    if error is not None and not isinstance(error, GatewayError):
        raise error
    return None if error is None else str(error)
