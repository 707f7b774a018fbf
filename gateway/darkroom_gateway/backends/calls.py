"""Calls of blocking clients from the event loop, with a deadline per call and a concurrency limit per backend.

kube/client.py and storage/client.py block, so their calls run in worker threads. A thread can't be stopped: a call that
misses its deadline is abandoned. Its caller gets the error immediately, and the call counts against the limit until its
thread ends. With anyio's `abandon_on_cancel` it would not count, and hung threads would accumulate.

Each backend has its own limit, so that a hanging backend takes no threads from the others, nor from anyio's default 40.
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from darkroom_gateway.backends.deadlines import TURN_SECONDS
from darkroom_gateway.errors import ClusterUnavailableError, StorageUnavailableError, UnavailableError

log = logging.getLogger(__name__)

T = TypeVar("T")

CLUSTER_CALLS = 32
STORAGE_CALLS = 16
WEBHOOK_CALLS = 8
"""Calls of the API server for webhooks: separate from those of requests, which they must not delay."""
UPLOAD_CALLS = 8
"""Concurrent uploads of photos. Separate from the other calls of object storage, which are short and must not wait."""


class Backend:
    """A server that the gateway depends on."""

    def __init__(self, name: str, calls: int, unavailable: Callable[[str, bool], UnavailableError]) -> None:
        """`unavailable` makes an error from its text and from whether the call was started."""
        self.name = name
        self.calls = calls
        self._unavailable = unavailable
        self._limiter = CapacityLimiter(calls)
        self._tasks: set[asyncio.Task[object]] = set()

    async def call(self, seconds: float, function: Callable[..., T], *arguments: object) -> T:
        """Run a blocking function in a thread. Raises `UnavailableError` when it takes too long.

        Waits at most `TURN_SECONDS` for the concurrency limit, and `seconds` for the call itself.
        """
        return await self.result(seconds, await self.begin(function, *arguments))

    async def begin(self, function: Callable[..., T], *arguments: object) -> "asyncio.Task[T]":
        """Start a call that can't be cancelled; the task is done when its thread is.

        Raises `UnavailableError`, without starting it, when the concurrency limit is reached for `TURN_SECONDS`.
        """
        borrower = object()
        try:
            with anyio.fail_after(TURN_SECONDS):
                await self._limiter.acquire_on_behalf_of(borrower)
        except TimeoutError:
            raise self._unavailable(self._full(), False) from None
        task = asyncio.create_task(self._run(borrower, function, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def result(self, seconds: float, call: "asyncio.Task[T]") -> T:
        """The result of a started call. Raises `UnavailableError` after `seconds`; the call continues."""
        await asyncio.wait({call}, timeout=seconds)
        if not call.done():
            message = f"{self.name} did not answer within {seconds:.0f} s. Try again shortly."
            log.error("abandoned a call: %s", message)
            raise self._unavailable(message, True)
        return call.result()

    async def _run(self, borrower: object, function: Callable[..., T], arguments: tuple[object, ...]) -> T:
        try:
            return await to_thread.run_sync(function, *arguments, limiter=_UNLIMITED)
        finally:
            self._limiter.release_on_behalf_of(borrower)

    def _ended(self, task: "asyncio.Task[T]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Retrieved, because nobody awaits an abandoned call.

    def _full(self) -> str:
        return (
            f"{self.name} is overloaded or hangs: {self.calls} calls are in progress, and none finished "
            f"within {TURN_SECONDS:g} s. Try again shortly."
        )


_UNLIMITED = CapacityLimiter(math.inf)
"""For calls that have already passed their backend's limit."""


def _cluster_unavailable(detail: str, begun: bool) -> UnavailableError:
    return ClusterUnavailableError(detail, maybe_done=begun)


def _storage_unavailable(detail: str, _begun: bool) -> UnavailableError:
    return StorageUnavailableError(detail)


@dataclass(frozen=True)
class Backends:
    """The backends that are called in threads. Redis is not among them: its client is asynchronous."""

    cluster: Backend = field(default_factory=lambda: Backend("The API server", CLUSTER_CALLS, _cluster_unavailable))
    webhooks: Backend = field(default_factory=lambda: Backend("The API server", WEBHOOK_CALLS, _cluster_unavailable))
    storage: Backend = field(default_factory=lambda: Backend("Object storage", STORAGE_CALLS, _storage_unavailable))
    uploads: Backend = field(default_factory=lambda: Backend("Object storage", UPLOAD_CALLS, _storage_unavailable))
