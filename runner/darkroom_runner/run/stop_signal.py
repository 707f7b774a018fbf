"""Cooperative cancellation on SIGTERM and SIGINT.

`worker` installs the handlers; code that works in steps calls `check` between two steps. A signal never interrupts a
step, so no file is left half written.
"""

import logging
import signal
from types import FrameType

from darkroom_runner.errors import InterruptedRunError

log = logging.getLogger(__name__)


class StopSignal:
    """Whether the run was asked to stop."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT. Main thread only."""
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, self._request)

    def check(self) -> None:
        """Raises `InterruptedRunError` once a signal has arrived."""
        if self.requested:
            raise InterruptedRunError("The run was stopped before it was finished (SIGTERM).")

    def _request(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        log.info("received %s: stopping after the current step", signal.Signals(signum).name)
