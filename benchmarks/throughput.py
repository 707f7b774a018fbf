"""Jobs a minute with warm runners, side by side with a new pod for each run, in the local cluster of `darkroom up`.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --model-root DIR --base-model NAME --steps 30      another base model

Each variant is a cluster of its own with an empty queue. All jobs of one picture each are submitted at once; the clock
runs from the first request to the end of the last job, so the warm variant's first cold start counts, too. The time to
the first denoising step runs from the moment a watch shows the job as Admitted to the time in the run's own progress
event. Memory is the proportional set size (PSS) of all processes of the idle pod.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from throughput_cluster import Cluster, JobTimes

from darkroom_contract.status import RunStart

JOBS = 20
STEPS = 8
WARM_SECONDS = 60
MIB = 1024**2


@dataclass(frozen=True)
class Work:
    """What every job draws."""

    jobs: int
    steps: int
    base_model: str | None
    model_root: Path | None


@dataclass
class Measurement:
    """One variant."""

    warm_seconds: int
    wall_seconds: float = 0.0
    jobs: list[JobTimes] = field(default_factory=list)
    first_idle_bytes: int | None = None
    last_idle_bytes: int | None = None

    @property
    def jobs_per_minute(self) -> float:
        return 60 * len(self.jobs) / self.wall_seconds

    def first_step_seconds(self, start: RunStart) -> list[float]:
        return [each.first_step_seconds for each in self.jobs if each.start is start]


def main() -> None:
    work = _parse()
    warm, cold = (asyncio.run(measure(work, seconds)) for seconds in (WARM_SECONDS, 0))
    _print_table(work, warm, cold)


def _parse() -> Work:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps of each picture")
    parser.add_argument("--base-model", help="a folder of --model-root (default: the small model)")
    parser.add_argument("--model-root", type=Path, help="folder of base models (default: that of the repository)")
    given = parser.parse_args()
    return Work(given.jobs, given.steps, given.base_model, given.model_root)


async def measure(work: Work, warm_seconds: int) -> Measurement:
    """All jobs at once on a new cluster; then, if pods stay warm, the memory of one pod after one job and after all."""
    found = Measurement(warm_seconds)
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        async with Cluster(Path(folder), work.model_root, warm_seconds) as cluster:
            begin = time.perf_counter()
            found.jobs = await cluster.run("job", work.jobs, work.steps, work.base_model)
            found.wall_seconds = time.perf_counter() - begin
            if warm_seconds:
                await cluster.delete_idle_pod()
                await cluster.run("first", 1, work.steps, work.base_model)
                found.first_idle_bytes = await cluster.idle_bytes()
                more = await cluster.run("more", work.jobs - 1, work.steps, work.base_model)
                found.last_idle_bytes = await cluster.idle_bytes()
                if any(each.start is not RunStart.WARM for each in more):
                    sys.exit("a pod was replaced while its memory was measured")
    return found


def _print_table(work: Work, warm: Measurement, cold: Measurement) -> None:
    warm_starts, cold_starts = warm.first_step_seconds(RunStart.WARM), cold.first_step_seconds(RunStart.COLD)
    if len(warm_starts) != work.jobs - 1 or len(cold_starts) != work.jobs:
        sys.exit(f"unexpected starts: {len(warm_starts)} warm, {len(cold_starts)} cold of {work.jobs} jobs each")
    print(f"{work.jobs} jobs of one picture, {work.steps} steps, submitted at once\n")
    print(f"| | warmSeconds={warm.warm_seconds} | warmSeconds={cold.warm_seconds} | ratio |\n|---|---|---|---|")
    per_minute = warm.jobs_per_minute, cold.jobs_per_minute
    _print_row("jobs a minute", *per_minute, per_minute[0] / per_minute[1])
    middle = statistics.median(warm_starts), statistics.median(cold_starts)
    _print_row("from Admitted to the first denoising step, median, s", *middle, middle[0] / middle[1])
    longest = max(warm_starts), max(cold_starts)
    _print_row("the same, longest, s", *longest, longest[0] / longest[1])
    first, last = warm.first_idle_bytes, warm.last_idle_bytes
    if first and last:
        print(f"\nMemory of the idle pod: {first / MIB:.0f} MiB after one job, {last / MIB:.0f} MiB after {work.jobs}:")
        print(f"{last / first:.3f} times")


def _print_row(name: str, warm: float, cold: float, ratio: float) -> None:
    print(f"| {name} | {warm:.3g} | {cold:.3g} | {ratio:.3g} |")


if __name__ == "__main__":
    main()
