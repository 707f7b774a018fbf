"""Waits for the first of several things to happen."""

import asyncio
from collections.abc import Awaitable


async def first_of(*awaitables: Awaitable[object], timeout_seconds: float | None = None) -> None:
    """Return when one of them is done, or after the timeout; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    try:
        await asyncio.wait(tasks, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
