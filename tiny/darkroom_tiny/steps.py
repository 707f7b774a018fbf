"""Learning-rate schedule and training loop with progress messages, shared by all trainings."""

import time
from collections.abc import Callable

REPORT_EVERY = 100
DECAY_FRACTION = 0.25

Report = Callable[[str], None]


def learning_rate_factor(done: int, steps: int, warmup_steps: int) -> float:
    """Learning rate relative to its peak: warmup, constant, and linear decay to zero in the last quarter.

    Warmup-stable-decay (arXiv 2404.06395): longer and shorter trainings are identical until the decay begins.
    """
    return min(1.0, (done + 1) / warmup_steps, (steps - done) / (DECAY_FRACTION * steps))


def run_steps(step: Callable[[], float], count: int, report: Report) -> None:
    """Run `count` steps and report a moving average of their losses."""
    started, recent = time.monotonic(), 0.0
    for number in range(1, count + 1):
        loss = step()
        recent = loss if number == 1 else 0.98 * recent + 0.02 * loss
        if number % REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / number
            report(f"step {number} of {count}, loss {recent:.4f}, {seconds:.2f} s per step")
