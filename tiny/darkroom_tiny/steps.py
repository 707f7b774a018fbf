"""What all trainings share: the learning rate's course, and the loop, with a line now and then."""

import time
from collections.abc import Callable

REPORT_EVERY = 100
FALLING_PART = 0.25

Report = Callable[[str], None]


def rate_factor(done: int, steps: int, warmup_steps: int) -> float:
    """The learning rate's course as a part of its peak: up, level, and in the last quarter straight down to zero.

    A longer training begins exactly as a shorter one does, so what the first steps showed still holds
    (warmup-stable-decay, arXiv 2404.06395).
    """
    return min(1.0, (done + 1) / warmup_steps, (steps - done) / (FALLING_PART * steps))


def run_steps(step: Callable[[], float], count: int, report: Report) -> None:
    """Takes `count` steps; reports a moving average of the losses that they return."""
    started, recent = time.monotonic(), 0.0
    for number in range(1, count + 1):
        loss = step()
        recent = loss if number == 1 else 0.98 * recent + 0.02 * loss
        if number % REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / number
            report(f"step {number} of {count}, loss {recent:.4f}, {seconds:.2f} s a step")
