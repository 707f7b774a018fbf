"""The loop that all trainings share: step after step, with a line now and then. Pure of what a step does."""

import time
from collections.abc import Callable

REPORT_EVERY = 100

Report = Callable[[str], None]


def run_steps(step: Callable[[], float], count: int, report: Report) -> None:
    """Takes `count` steps; reports a moving average of the losses that they return."""
    started, recent = time.monotonic(), 0.0
    for number in range(1, count + 1):
        loss = step()
        recent = loss if number == 1 else 0.98 * recent + 0.02 * loss
        if number % REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / number
            report(f"step {number} of {count}, loss {recent:.4f}, {seconds:.2f} s a step")
