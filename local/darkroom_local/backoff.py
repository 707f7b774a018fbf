"""Exponential backoff between attempts: requests to the API server, restarts of components and of sidecars."""

import asyncio
import random


class ExponentialBackoff:
    """Delays that double from `first_seconds` to `longest_seconds`; `jitter` 0.2 varies each by up to 20 %."""

    def __init__(self, first_seconds: float, longest_seconds: float, jitter: float = 0.0) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._jitter = jitter
        self._next_seconds = first_seconds

    def reset(self) -> None:
        self._next_seconds = self._first_seconds

    def next_seconds(self) -> float:
        """The next delay."""
        delay = self._next_seconds
        self._next_seconds = min(2 * delay, self._longest_seconds)
        return delay * random.uniform(1 - self._jitter, 1 + self._jitter)  # noqa: S311 (not a secret)

    async def wait(self) -> None:
        """Sleep for the next delay."""
        await asyncio.sleep(self.next_seconds())
