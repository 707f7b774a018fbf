"""How long a run takes from the container's start to its first step, split into parts, as one line of the run's log.

`worker` makes the clock, and `lifecycle` and the loading of models end its parts. A later run of the same process has
a clock of its own, which starts with that run.
"""

import logging
import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Self

log = logging.getLogger(__name__)

_START_TIME_FIELD = 21
"""Field 22 of proc_pid_stat(5), counted from 0: when the process started, in clock ticks since the machine's boot."""


class StartPart(StrEnum):
    """The parts of a start, in the order in which they end."""

    INTERPRETER = "interpreter"
    """Container start, both Python processes, and the modules that the worker needs to handle signals."""
    INPUT = "input"
    """Settings, run document, LoRAs and photos. The libraries are imported in the meantime."""
    IMPORTS = "imports"
    """What is left of importing the libraries once the input is there."""
    WEIGHTS = "weights"
    """Reading the base model."""
    DEVICE = "device"
    """Moving the base model to the device."""
    FIRST_STEP = "first step"
    """LoRAs, sampler, prompts and the first step."""


class StartClock:
    """The parts of one start. A part that ends twice, such as for a second model, counts as the sum."""

    def __init__(self, since: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`since` is when the start began, on `clock`; None: now."""
        self._clock = clock
        self._since = self._last = clock() if since is None else since
        self._seconds: dict[StartPart, float] = {}
        self._is_over = False

    @classmethod
    def of_container(cls) -> Self:
        """Since the container's first process started: the parent of this one."""
        return cls(time.monotonic() - (_process_age_seconds(os.getppid()) or 0.0))

    @property
    def seconds(self) -> dict[StartPart, float]:
        """The parts that have ended, in seconds."""
        return dict(self._seconds)

    def end(self, part: StartPart) -> None:
        """What was done since the last part ended was this part. Does nothing after the first step."""
        if self._is_over:
            return
        now = self._clock()
        self._seconds[part] = self._seconds.get(part, 0.0) + now - self._last
        self._last = now

    def end_first_step(self) -> None:
        """Log the line, once per start."""
        if self._is_over:
            return
        self.end(StartPart.FIRST_STEP)
        self._is_over = True
        parts = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in self._seconds.items())
        log.info("first step after %.2f s: %s", self._last - self._since, parts)


def _process_age_seconds(pid: int) -> float | None:
    """Seconds since a process started; None on systems without /proc."""
    try:
        # The second field, the program's name in parentheses, may contain spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        started = int(fields[_START_TIME_FIELD - 2]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
