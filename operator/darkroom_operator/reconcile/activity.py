"""Whether the reconcile is at work: what can wait, waits for a pause. `controller.py` marks its passes here, and
`telemetry/event_recorder.py` posts Events in between."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

PAUSE_SECONDS = 0.2
"""After the last action for a slot: the next change of its pod may come at once."""


class Activity:
    """Busy during a pass, and shortly after each action for a slot."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._monotonic = monotonic
        self._pause_seconds = pause_seconds
        self._is_busy_until = monotonic()
        self._between_passes = asyncio.Event()
        self._between_passes.set()

    @contextlib.contextmanager
    def in_pass(self) -> Iterator[None]:
        self._between_passes.clear()
        try:
            yield
        finally:
            self._between_passes.set()

    def record_slot_action(self) -> None:
        """A slot is being handed over, or its run changes."""
        self._is_busy_until = self._monotonic() + self._pause_seconds

    async def wait_until_idle(self, at_most_seconds: float) -> None:
        """Returns at once when idle; after the maximum also when busy."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most_seconds):
                while not self._between_passes.is_set() or self._busy_seconds() > 0:
                    await self._between_passes.wait()
                    await asyncio.sleep(self._busy_seconds())

    def _busy_seconds(self) -> float:
        return max(0.0, self._is_busy_until - self._monotonic())
