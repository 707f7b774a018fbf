"""SIGTERM: noted at once, obeyed at the next step.

`main` listens; whoever works in steps calls `check` between two of them. A signal never breaks into a step, so
nothing is left half written.
"""

import logging
import signal
from types import FrameType

from darkroom_runner.errors import InterruptedRunError

log = logging.getLogger(__name__)


class Interruption:
    """Whether the run was told to stop."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Take over SIGTERM and SIGINT. Main thread only."""
        signal.signal(signal.SIGTERM, self._note)
        signal.signal(signal.SIGINT, self._note)

    def check(self) -> None:
        """Raises `InterruptedRunError` once a signal came."""
        if self.requested:
            raise InterruptedRunError("The run was told to stop before it was done (SIGTERM).")

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.requested = True
        log.info("got %s: stopping after the present step", signal.Signals(signum).name)
