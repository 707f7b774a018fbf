"""Wall and CPU seconds of a test command in this checkout and in another, one after the other.

    python benchmarks/test_suite.py --against ../darkroom-before [--command 'make test'] [--rounds 2]

CPU seconds are those of the whole process tree, as the kernel counts them: user and system time of every process that
was waited for. What is left running at the end, or was killed together with its parent, isn't in it; so the tree runs
below a subreaper, which waits for orphans too. Compare on a machine that does nothing else.
"""

import argparse
import ctypes
import os
import resource
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h."""


@dataclass(frozen=True)
class Measurement:
    wall_seconds: float
    cpu_seconds: float
    exit_code: int

    def __str__(self) -> str:
        failed = f"  FAILED ({self.exit_code})" if self.exit_code else ""
        return f"{self.wall_seconds:8.0f} s wall  {self.cpu_seconds:8.0f} s CPU{failed}"


def measure(checkout: Path, command: list[str], log: Path) -> Measurement:
    """Run the command in a checkout; its output is added to the log."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with log.open("ab") as output:
        done = subprocess.run(command, cwd=checkout, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    wall_seconds = time.monotonic() - began
    _reap_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measurement(wall_seconds, cpu_seconds, done.returncode)


def _reap_orphans() -> None:
    """Wait for processes that outlived their parents; they end soon, or by themselves."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--against", type=Path, help="another checkout with its own .venv, measured by turns with this one"
    )
    parser.add_argument("--command", default="make test", help="what is measured (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("this kernel has no subreapers (prctl(2)): orphans can't be counted")
    checkouts = [HERE, *([options.against.resolve()] if options.against else [])]
    measurements: dict[Path, list[Measurement]] = {each: [] for each in checkouts}
    for number in range(options.rounds):
        # By turns, in the opposite order each time: what warms the page cache helps both.
        for checkout in checkouts if number % 2 else reversed(checkouts):
            log = HERE / "build" / f"test-suite-{checkouts.index(checkout)}.log"
            log.parent.mkdir(exist_ok=True)
            found = measure(checkout, shlex.split(options.command), log)
            measurements[checkout].append(found)
            print(f"{found}  {checkout}  (output: {log})", flush=True)
    if options.against:
        here, there = ([each.cpu_seconds for each in measurements[checkout]] for checkout in checkouts)
        print(f"CPU seconds here: {sum(here) / sum(there):.2f} of those of {checkouts[1]}")


if __name__ == "__main__":
    main()
