"""Work on a temporary file in a thread, which ends before its caller continues, even when the caller is cancelled.

A thread can't be stopped. If a cancelled caller closed the file meanwhile, the thread would write to a closed file: a
`SpooledTemporaryFile` that moves to the disk at that moment leaves an open file behind. Unlike a call of a backend
(calls.py), this work takes milliseconds, so the caller can wait for it.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


async def run_to_end(function: Callable[..., T], *arguments: object, limiter: CapacityLimiter | None = None) -> T:
    """Like `anyio.to_thread.run_sync`, but a cancellation waits for the thread, also one by `asyncio.timeout`."""
    task = asyncio.ensure_future(to_thread.run_sync(function, *arguments, limiter=limiter))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        task.exception()  # Retrieved: the cancellation takes precedence.
        raise
