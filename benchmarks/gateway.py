"""Gateway under load: polls, lists, memory, event streams and uploads, compared with plain FastAPI and redis.asyncio.

    python benchmarks/gateway.py                         everything, about twelve minutes
    python benchmarks/gateway.py --sections polls events uploads pages
    python benchmarks/gateway.py --sections events --watchers 50 --rounds 1

Both servers run in separate processes, with one worker and the same uvicorn settings, and are measured alternately
(gateway_stack.py, gateway_plain.py, gateway_load.py). Prints ratios, and fails when one exceeds its bound:

- polls: of a running job per second, relative to the plain endpoint: at least 1.0 times with 50 clients, 1.5 with 200;
  99th percentile of their latency: at most 1.0; requests of the gateway to the API server per poll: 0;
- lists: `GET /jobs?limit=1` with 10,000 jobs: at most 1.5 times the latency with 10 jobs, with 1 and with 10 clients;
- memory: of the gateway with 10,000 jobs: at most 4 kB more per job than with 10 jobs;
- watchers: 1,000 of one running job, relative to a plain fan-out of one Redis reader (gateway_watchers.py): 99th
  percentile of the event delay at most 1.2 times, memory per watcher at most 1.5 times, no false warnings, and
  `/healthz` not slower;
- events: the same for 1,000 watchers of `/v1/events`, the stream of all jobs;
- uploads: 2 GiB of LoRAs at once: at most 50 MiB more memory of the gateway (gateway_uploads.py);
- pages: a page of `/v1/jobs` with 100,000 finished jobs: at most 1.1 times the latency with 100 (gateway_pages.py).
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gateway_pages
import gateway_uploads
import gateway_watchers
import httpx
from gateway_stack import Stack, load, open_gateway, open_plain, open_stack, resident_mib

RUNNING = "train-running"
FEW, MANY = 10, 10_000
POLLING_CLIENTS = {50: 1.0, 200: 1.5}
"""How many polls a second the gateway must answer, relative to the plain endpoint, by the number of clients."""
POLL_SECONDS, LIST_SECONDS = 3.0, 2.0
SETTLE_SECONDS = 5.0
"""Wait between the first list and the memory measurement, in which the allocator returns the memory of the pages."""


@dataclass(frozen=True)
class Bound:
    """A measured value and its limit."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)

    def __str__(self) -> str:
        wanted = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{'ok  ' if self.holds else 'FAIL'} {self.name}: {self.value:.2f} ({wanted})"


def measure_polls(options: argparse.Namespace) -> list[Bound]:
    """Polls of one running job; alternately, plain server first."""
    found: list[Bound] = []
    with open_stack(FEW, RUNNING) as stack, open_gateway(stack) as (ours, _), open_plain(stack) as (plain, _):
        _copy_answer(stack, ours)
        time.sleep(SETTLE_SECONDS)  # At startup, the gateway checks once for interrupted deletions.
        at_start = _requests_but_watches(stack)
        print(
            f"{'clients':>8} {'plain/s':>8} {'ours/s':>8} {'ratio':>6} {'plain p99':>10} {'ours p99':>10} {'ratio':>6}"
        )
        for clients in POLLING_CLIENTS:
            found += _measure_polls(stack, plain, ours, clients, options.rounds)
        asked = _requests_but_watches(stack) - at_start
    return [*found, Bound("requests to the API server for all polls", asked, at_most=0)]


def _measure_polls(stack: Stack, plain: str, ours: str, clients: int, count: int) -> list[Bound]:
    path, before, began = f"/result?task_id={RUNNING}", stack.requests["watch"], time.monotonic()
    rounds = [[load(url + path, clients, POLL_SECONDS) for url in (plain, ours)] for _ in range(count)]
    watches = (stack.requests["watch"] - before) / (time.monotonic() - began)
    rate, slowest = (
        [statistics.median(each[side][key] for each in rounds) for side in (0, 1)] for key in ("per_second", "p99_ms")
    )
    ratios = rate[1] / rate[0], slowest[1] / slowest[0]
    print(
        f"{clients:8} {rate[0]:8.0f} {rate[1]:8.0f} {ratios[0]:6.2f} {slowest[0]:7.1f} ms {slowest[1]:7.1f} ms "
        f"{ratios[1]:6.2f}   {sum(each[1]['requests'] for each in rounds)} polls, {watches:.1f} watches per second",
        flush=True,
    )
    return [
        Bound(f"polls per second, {clients} clients, relative to plain", ratios[0], at_least=POLLING_CLIENTS[clients]),
        Bound(f"p99 of polls, {clients} clients, relative to plain", ratios[1], at_most=1.0),
    ]


def measure_lists(options: argparse.Namespace) -> list[Bound]:
    """`GET /jobs?limit=1`; alternately, few jobs first."""
    found = []
    with open_stack(FEW, RUNNING) as one, open_stack(MANY, RUNNING) as other, contextlib.ExitStack() as gateways:
        few, many = (gateways.enter_context(open_gateway(stack))[0] for stack in (one, other))
        print(f"{'clients':>8} {f'{FEW} jobs':>12} {f'{MANY} jobs':>12} {'ratio':>6}")
        for clients in (1, 10):
            rounds = [
                [load(f"{url}/jobs?limit=1", clients, LIST_SECONDS)["p50_ms"] for url in (few, many)]
                for _ in range(options.rounds)
            ]
            middle = [statistics.median(each[side] for each in rounds) for side in (0, 1)]
            ratio = middle[1] / middle[0]
            print(f"{clients:8} {middle[0]:9.2f} ms {middle[1]:9.2f} ms {ratio:6.2f}", flush=True)
            found.append(
                Bound(f"GET /jobs?limit=1 of {MANY} jobs, {clients} clients, relative to {FEW}", ratio, at_most=1.5)
            )
    return found


def measure_memory(_: argparse.Namespace) -> list[Bound]:
    """Resident memory after the first list, and after a hundred pages."""
    used = {}
    for jobs in (FEW, MANY):
        with open_stack(jobs, RUNNING) as stack, open_gateway(stack) as (url, pid):
            time.sleep(SETTLE_SECONDS)
            at_rest = resident_mib(pid)
            _read_pages(url, 100)
            used[jobs] = max(at_rest, resident_mib(pid))
            print(f"{jobs:8} jobs: {at_rest:.1f} MiB, {used[jobs]:.1f} after 100 pages", flush=True)
    each = (used[MANY] - used[FEW]) * 1024**2 / (MANY - FEW)
    return [Bound(f"bytes per additional job, {FEW} to {MANY}", each, at_most=4000)]


def measure_watchers(options: argparse.Namespace) -> list[Bound]:
    """Watchers of one running job."""
    return _measure_streams(options, "the job", all_jobs=False)


def measure_events(options: argparse.Namespace) -> list[Bound]:
    """Watchers of `/v1/events`."""
    return _measure_streams(options, "all jobs", all_jobs=True)


def _measure_streams(options: argparse.Namespace, what: str, *, all_jobs: bool) -> list[Bound]:
    found = gateway_watchers.measure(options.watchers, options.rounds, all_jobs=all_jobs)
    print(json.dumps(found, indent=2))
    watchers = f"{options.watchers} watchers of {what}"
    health_ms = found["servers"]["plain"]["healthz_p99_ms"] + gateway_watchers.HEALTH_ALLOWANCE_SECONDS * 1000
    return [
        Bound(f"p99 of the event delay, {watchers}, relative to plain", found["delay_p99_ratio"], at_most=1.2),
        Bound(f"memory per additional one of {watchers}, relative to plain", found["memory_ratio"], at_most=1.5),
        Bound(f"false warnings to {watchers}", found["false_warnings"], at_most=0),
        Bound(f"p99 of /healthz with {watchers}, ms", found["servers"]["gateway"]["healthz_p99_ms"], at_most=health_ms),
    ]


def measure_uploads(options: argparse.Namespace) -> list[Bound]:
    """Imports of LoRAs at once."""
    grown = gateway_uploads.measure(options.megabytes * 1024**2)
    return [Bound(f"growth of memory with {options.megabytes} MiB of uploads at once, MiB", grown, at_most=50)]


def measure_pages(options: argparse.Namespace) -> list[Bound]:
    """A page of `/v1/jobs`."""
    return [
        Bound(f"{what} of {options.jobs} jobs, relative to {gateway_pages.FEW}", ratio, at_most=1.1)
        for what, ratio in gateway_pages.measure(options.jobs, options.rounds).items()
    ]


SECTIONS: dict[str, Callable[[argparse.Namespace], Sequence[Bound]]] = {
    "polls": measure_polls,
    "lists": measure_lists,
    "memory": measure_memory,
    "watchers": measure_watchers,
    "events": measure_events,
    "uploads": measure_uploads,
    "pages": measure_pages,
}
"""Sections by name. Each prints its values and returns its bounds."""


def _copy_answer(stack: Stack, ours: str) -> None:
    """Make the plain endpoint return the same bytes as the gateway."""
    answer = httpx.get(f"{ours}/result", params={"task_id": RUNNING}, trust_env=False).raise_for_status()
    with stack.redis() as client:
        client.set(f"task:{RUNNING}", answer.content)


def _requests_but_watches(stack: Stack) -> int:
    return sum(count for verb, count in stack.requests.items() if verb != "watch")


def _read_pages(url: str, pages: int) -> None:
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        link = "/jobs?limit=100"
        for _ in range(pages):
            answer = client.get(link).raise_for_status()
            link = answer.links.get("next", {}).get("url", "/jobs?limit=100")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=5, help="of all sections but memory and uploads")
    parser.add_argument("--watchers", type=int, default=1000, help="of the sections watchers and events")
    parser.add_argument("--megabytes", type=int, default=2048, help="of the section uploads, in MiB")
    parser.add_argument("--jobs", type=int, default=100_000, help="of the section pages")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} CPU cores, Python {platform.python_version()}")
    bounds: list[Bound] = []
    for name in options.sections:
        print(f"\n{name}")
        bounds += SECTIONS[name](options)
    print()
    print(*bounds, sep="\n")
    if not all(bound.holds for bound in bounds):
        sys.exit(1)


if __name__ == "__main__":
    main()
