"""A thousand watchers of one running job, or of all jobs: the gateway and a plain FastAPI fan-out of one Redis reader.

    python benchmarks/gateway_watchers.py                  1,000 watchers, 5 rounds of 8 s per server: about 2 minutes
    python benchmarks/gateway_watchers.py --watchers 200 --rounds 2
    python benchmarks/gateway_watchers.py --all-jobs       the same for the stream of all jobs, GET /v1/events

Both servers run in separate processes with one uvicorn worker and the same settings, and read the same Valkey. All
watchers stay connected to both; each round publishes to one server, then to the other. Watchers are raw sockets in
separate processes. Compares four values with the plain server's: the delay from XADD to receipt (p99 per round, median
of the rounds), the memory per additional watcher, the latency of `/healthz` under this load (median of the rounds'
p99), and the number of false warnings, which must be zero. Fails when a value exceeds its limit.
"""

import argparse
import http.client
import json
import os
import secrets
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import redis
from stream_watchers import Watchers, raise_file_limit
from watched_servers import Server, running_servers

from darkroom_contract.progress import STREAM_FIELD

MAX_DELAY_RATIO = 1.2
MAX_MEMORY_RATIO = 1.5
MAX_HEALTH_RATIO = 1.0
HEALTH_ALLOWANCE_SECONDS = 0.002
"""Smaller differences between two p99 of a few hundred requests are noise."""

EVENTS_PER_SECOND = 10
FIRST_WATCHERS = 50
"""Watchers that connect before the first memory measurement, because a server allocates pools for its first
connections."""
SETTLE_SECONDS = 3.0


def main() -> None:
    options = _read_options()
    found = measure(options.watchers, options.rounds, options.seconds, all_jobs=options.all_jobs)
    print(json.dumps(found, indent=2))
    if found["failures"]:
        sys.exit("; ".join(found["failures"]))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--all-jobs", action="store_true", help="watch /v1/events")
    parser.add_argument("--seconds", type=float, default=8.0, help="per server and round")
    return parser.parse_args()


def measure(watchers: int = 1000, rounds: int = 5, seconds: float = 8.0, *, all_jobs: bool = False) -> dict[str, Any]:
    """The values of both servers, their ratios, and a line in `failures` for each exceeded limit."""
    raise_file_limit()
    with running_servers(all_jobs=all_jobs) as (store, servers):
        for server in servers:
            _connect(server, watchers)
        for _ in range(rounds):
            for server in servers:
                _run_round(server, store, seconds)
        warnings = {server.name: sum(each.stop() for each in server.watchers) for server in servers}
        connections = sum(client["lib-name"].startswith("redis-py") for client in store.client_list()) - 1
    return _figures(servers, watchers, warnings, connections)


def _figures(servers: list[Server], watchers: int, warnings: dict[str, int], connections: int) -> dict[str, Any]:
    ours, plain = servers
    delay = statistics.median(ours.delay_p99s) / statistics.median(plain.delay_p99s)
    memory = ours.bytes_a_watcher / plain.bytes_a_watcher
    health, plain_health = statistics.median(ours.health_p99s), statistics.median(plain.health_p99s)
    checks = {
        f"the p99 of the delay is {delay:.2f} times that of the plain server": delay <= MAX_DELAY_RATIO,
        f"an additional watcher takes {memory:.2f} times the memory of the plain server": memory <= MAX_MEMORY_RATIO,
        f"/healthz takes {health / plain_health:.2f} times as long as on the plain server": health
        <= MAX_HEALTH_RATIO * plain_health + HEALTH_ALLOWANCE_SECONDS,
        f"{warnings['gateway']} false warnings": not warnings["gateway"],
    }
    return {
        "watchers": watchers,
        "servers": {
            each.name: {
                "delay_p50_ms": round(statistics.median(each.delay_p50s) * 1000, 1),
                "delay_p99_ms": round(statistics.median(each.delay_p99s) * 1000, 1),
                "healthz_p99_ms": round(statistics.median(each.health_p99s) * 1000, 1),
                "cpu_ms_an_event": round(statistics.median(each.cpu_seconds_an_event) * 1000, 1),
                "kB_a_watcher": round(each.bytes_a_watcher / 1000, 1),
            }
            for each in servers
        },
        "redis_connections_of_both": connections,
        "delay_p99_ratio": round(delay, 2),
        "memory_ratio": round(memory, 2),
        "healthz_p99_ratio": round(health / plain_health, 2),
        "false_warnings": warnings["gateway"],
        "failures": [text for text, is_good in checks.items() if not is_good],
    }


def _connect(server: Server, watchers: int) -> None:
    """Connect all watchers, and measure the server's memory per watcher, without the first few."""
    first = min(FIRST_WATCHERS, watchers // 2)
    server.watchers.append(Watchers(server.port, server.path, first))
    time.sleep(SETTLE_SECONDS)
    before = _resident_bytes(server.pid)
    further = watchers - first
    server.watchers.append(Watchers(server.port, server.path, further))
    time.sleep(SETTLE_SECONDS)
    server.bytes_a_watcher = (_resident_bytes(server.pid) - before) / further


def _run_round(server: Server, store: "redis.Redis", seconds: float) -> None:
    """Publish events while requesting `/healthz`, and record both latencies."""
    done, health = threading.Event(), list[float]()
    prober = threading.Thread(target=_ask_health, args=(server.port, done, health))
    prober.start()
    published, cpu_seconds = {}, _cpu_seconds(server.pid)
    for number in range(round(seconds * EVENTS_PER_SECOND)):
        event = {"attempt": 1, "stage": "Training", "step": secrets.randbelow(10**9), "total": 10**9}
        event |= {"time": "2026-01-02T03:04:05Z", "metrics": {"loss": 0.1 + number}}
        published[event["step"]] = time.monotonic()
        store.xadd(server.stream, {STREAM_FIELD: json.dumps(event)}, maxlen=1000, approximate=True)
        time.sleep(1 / EVENTS_PER_SECOND)
    time.sleep(1.0)
    done.set()
    prober.join()
    server.cpu_seconds_an_event.append((_cpu_seconds(server.pid) - cpu_seconds) / len(published))
    delays = []
    for each in server.watchers:
        received = each.received()
        for step, sent in published.items():
            at = received.get(str(step), [])
            assert len(at) == each.count, f"{server.name}: {len(at)} of {each.count} watchers received an event"
            delays += [moment - sent for moment in at]
    server.delay_p50s.append(statistics.median(delays))
    server.delay_p99s.append(_p99(delays))
    server.health_p99s.append(_p99(health))


def _ask_health(port: int, done: threading.Event, seconds: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not done.wait(0.01):
        begun = time.monotonic()
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        seconds.append(time.monotonic() - begun)
    connection.close()


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process since its start, including `/healthz`. Fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
