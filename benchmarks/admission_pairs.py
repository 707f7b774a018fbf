"""Latency of a hand-over of this operator and of another build's, by turns: benchmarks/admission.py for two builds.

    python benchmarks/admission_pairs.py --against ../darkroom-before --waiting 10 1000 10000

Each build has an API server of its own (this checkout's, with the CRDs of the build), a namespace with as many jobs,
and an operator that runs all the time. They hand over in blocks: some of one build, then as many of the other, in the
opposite order each time. The speed of a shared machine changes within minutes, by more than the builds differ; both
builds of a pair of blocks see the same machine. A ratio is the median of the pairs' ratios, with its quartiles. Compare
a checkout with itself first: the ratio of equal builds says what the machine can show.
"""

import argparse
import asyncio
import contextlib
import math
import statistics
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from admission import runner_pods
from admission_cluster import Handovers, create_jobs, new_namespace, open_cluster, percentile_99, settle
from admission_operator import cpu_seconds, peak_memory_mib, start_operator
from machine import describe_machine

from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import read_kubeconfig

HERE = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Block:
    """Some hand-overs in a row: the median of their times, and the operator's CPU time for each."""

    p50_ms: float
    cpu_ms: float


@dataclass
class Build:
    name: str
    pid: int
    seen: Handovers
    blocks: list[Block] = field(default_factory=list)

    async def hand_over(self, count: int) -> None:
        done, cpu = len(self.seen.seconds), cpu_seconds(self.pid)
        await asyncio.wait_for(self.seen.until(done + count), TIMEOUT_SECONDS)
        milliseconds = [1000 * each for each in self.seen.seconds[done:]]
        cpu_ms = 1000 * (cpu_seconds(self.pid) - cpu) / len(milliseconds)
        self.blocks.append(Block(statistics.median(milliseconds), cpu_ms))

    def __str__(self) -> str:
        milliseconds = sorted(1000 * each for each in self.seen.seconds)
        times = f"{statistics.median(milliseconds):8.1f} {percentile_99(milliseconds):8.1f} {milliseconds[-1]:8.1f}"
        cpu_ms = statistics.fmean(each.cpu_ms for each in self.blocks)
        return f"{self.name:>8} {times} {cpu_ms:11.1f} {peak_memory_mib(self.pid):6.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path, required=True, help="another checkout, with its own .venv")
    parser.add_argument("--waiting", type=int, nargs="+", default=[10, 1_000], help="number of waiting jobs")
    parser.add_argument("--rounds", type=int, default=20, help="number of pairs of blocks")
    parser.add_argument("--block", type=int, default=15, help="hand-overs of a block")
    options = parser.parse_args()
    print(f"{describe_machine()}; {options.rounds} rounds of {options.block} hand-overs of each build")
    for waiting in options.waiting:
        asyncio.run(measure(options.against.resolve(), waiting, options.rounds, options.block))


async def measure(against: Path, waiting: int, rounds: int, block: int) -> None:
    count = waiting + (rounds + 1) * block + 2
    async with contextlib.AsyncExitStack() as stack:
        opened = (
            stack.enter_async_context(open_build(name, checkout, count))
            for name, checkout in (("before", against), ("now", HERE))
        )
        builds = await asyncio.gather(*opened)
        for each in builds:
            await each.hand_over(block)  # The first hand-overs of a process are slower.
            each.seen.seconds.clear()
            each.blocks.clear()
        for number in range(rounds):
            for each in builds if number % 2 else reversed(builds):
                await each.hand_over(block)
        print_table(waiting, *builds)


@contextlib.asynccontextmanager
async def open_build(name: str, checkout: Path, jobs: int) -> AsyncIterator[Build]:
    """A build that has written the status of every job."""
    with open_cluster(None, checkout / "crds") as kubeconfig:
        async with KubeClient(read_kubeconfig(kubeconfig)) as kube, new_namespace(kube) as namespace:
            await create_jobs(kube, namespace, jobs)
            python = str(checkout / ".venv" / "bin" / "python")
            with start_operator(kubeconfig, namespace, python) as operator:
                await settle(kube, namespace)
                yield Build(name, operator.pid, runner_pods(kube, namespace))


def print_table(waiting: int, before: Build, now: Build) -> None:
    print(f"{waiting} waiting")
    print(f"{'':>8} {'p50 ms':>8} {'p99 ms':>8} {'worst':>8} {'CPU ms/job':>11} {'MiB':>6}")
    print(before, now, sep="\n")
    pairs = list(zip(before.blocks, now.blocks, strict=True))
    print(f"  now / before: p50 {spread([n.p50_ms / b.p50_ms for b, n in pairs])}")
    print(f"  now / before: CPU {spread([n.cpu_ms / b.cpu_ms for b, n in pairs if b.cpu_ms])}", flush=True)


def spread(ratios: list[float]) -> str:
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else 3 * [math.nan]
    return f"{middle:.2f} (quartiles {low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
