"""Calls of backends from the event loop: each has a deadline, and each backend a limit of calls in progress.

The doors (kube/client.py, storage/client.py) block, so their calls run in worker threads. A thread can't be stopped. So
a call that misses its deadline is given up: its caller gets the error at once, and the call still counts as one in
progress until its thread has ended. With anyio's `abandon_on_cancel` it would not: hung threads would grow without a
limit.

Each backend has tokens of its own. Requests that hang on one of them leave the calls of the others, and anyio's 40
default threads, alone.
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
UPLOAD_CALLS = 8
"""Photos stored at once. Apart from the other calls of object storage, which are short and must not wait for them."""


class Backend:
    """One of the servers that the gateway depends on."""

    def __init__(self, name: str, calls: int, unavailable: Callable[[str, bool], UnavailableError]) -> None:
        """`unavailable` makes the error from its text, and from whether the call was begun."""
        self.name = name
        self.calls = calls
        self._unavailable = unavailable
        self._limiter = CapacityLimiter(calls)
        self._tasks: set[asyncio.Task[object]] = set()

    async def call(self, seconds: float, function: Callable[..., T], *arguments: object) -> T:
        """What the blocking `function` returns or raises; an `UnavailableError` when that takes too long.

        At most `TURN_SECONDS` for a free call and `seconds` for the call itself.
        """
        return await self.result(seconds, await self.begin(function, *arguments))

    async def begin(self, function: Callable[..., T], *arguments: object) -> "asyncio.Task[T]":
        """A call in progress, which nothing cancels: it is done once its thread is.

        Raises an `UnavailableError`, and calls nothing, when no call becomes free within `TURN_SECONDS`.
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
        """The result of a call that was begun. Raises an `UnavailableError` after `seconds`; the call goes on."""
        await asyncio.wait({call}, timeout=seconds)
        if not call.done():
            message = f"{self.name} did not answer within {seconds:.0f} s. Try again shortly."
            log.error("gave up a call: %s", message)
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
            task.exception()  # Seen: that of a call that was given up is nobody's.

    def _full(self) -> str:
        return (
            f"{self.name} is overloaded or stands still: {self.calls} calls are in progress, and none became free "
            f"within {TURN_SECONDS:g} s. Try again shortly."
        )


_UNLIMITED = CapacityLimiter(math.inf)
"""For threads of calls that have their token already."""


def _cluster_unavailable(detail: str, begun: bool) -> UnavailableError:
    return ClusterUnavailableError(detail, maybe_done=begun)


def _storage_unavailable(detail: str, _begun: bool) -> UnavailableError:
    return StorageUnavailableError(detail)


@dataclass(frozen=True)
class Backends:
    """The backends of one gateway that are called in threads. Redis is called from the event loop itself."""

    cluster: Backend = field(default_factory=lambda: Backend("The API server", CLUSTER_CALLS, _cluster_unavailable))
    storage: Backend = field(default_factory=lambda: Backend("Object storage", STORAGE_CALLS, _storage_unavailable))
    uploads: Backend = field(default_factory=lambda: Backend("Object storage", UPLOAD_CALLS, _storage_unavailable))
