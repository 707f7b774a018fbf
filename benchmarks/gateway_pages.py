"""A page of `GET /v1/jobs` with few and with many finished jobs. A section of gateway.py.

Two gateways, each with its simulated API server (gateway_simulated_api.py), are measured alternately: one has 100 jobs,
the other as many as asked for. Both answer the same requests: the first page, and the first page of one model's jobs.
"""

import statistics
import time

from gateway_stack import load, open_gateway, open_simulated_stack, resident_mib

FEW = 100
SECONDS = 1.5
LIST_SECONDS = 200.0
"""Limit of the first list of many jobs."""

REQUESTS = {"first page": "/v1/jobs?limit=50", "first page, succeeded": "/v1/jobs?limit=50&status=Succeeded"}


def measure(jobs: int, rounds: int) -> dict[str, float]:
    """The ratio of the median latencies, many jobs to few, by request."""
    began = time.monotonic()
    with (
        open_simulated_stack(FEW) as few_stack,
        open_simulated_stack(jobs) as many_stack,
        open_gateway(few_stack) as (few, _),
        open_gateway(many_stack, LIST_SECONDS) as (many, pid),
    ):
        print(f"{jobs} jobs listed in {time.monotonic() - began:.0f} s, {resident_mib(pid):.0f} MiB", flush=True)
        return {what: _ratio(what, path, (few, many), rounds) for what, path in REQUESTS.items()}


def _ratio(what: str, path: str, urls: tuple[str, str], rounds: int) -> float:
    for url in urls:
        load(url + path, 1, 0.5)  # Fills the caches.
    latencies = [[load(url + path, 1, SECONDS)["p50_ms"] for url in urls] for _ in range(rounds)]
    few, many = (statistics.median(each[side] for each in latencies) for side in (0, 1))
    print(f"{what:>24}: {few:6.2f} ms with {FEW}, {many:6.2f} ms", flush=True)
    ratio: float = many / few
    return ratio
