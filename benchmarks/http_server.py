"""HTTP parsers and event loops compared, and the cost of connection limits: polls per second.

    python benchmarks/http_server.py                   50 clients, six rounds of one second

Serves a plain FastAPI endpoint that returns a job's status, with one worker: with the gateway's server configuration
(httptools on uvloop, with limits), with the same parser and loop in plain uvicorn, and with h11 on asyncio, which
uvicorn's `auto` selects if nothing else is installed. Rounds alternate, and the best round of each counts. The clients
are plain sockets in one process, each with one request at a time. Compares polls per second of the server's CPU time,
which other load on the machine hardly affects (Linux: /proc). Fails when the limits cost more than a tenth.
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from darkroom_gateway.http.connection_bounds import ConnectionBounds
from darkroom_gateway.http.server import server_config

SERVERS = {
    "gateway: httptools, uvloop, bounds": "gateway",
    "uvicorn: httptools, uvloop": "httptools",
    "uvicorn: h11, asyncio": "h11",
}
MIN_SHARE = 0.9
START_SECONDS = 30.0
REQUEST = b"GET /jobs/generate-x7c2m4kq9a HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nUser-Agent: benchmark\r\n\r\n"


def main() -> None:
    options = _read_options()
    if options.serve:
        serve(options.serve, options.port)
        return
    best = dict.fromkeys(SERVERS, 0.0)
    for _ in range(options.rounds):
        for name, kind in SERVERS.items():
            best[name] = max(best[name], measure(kind, options.clients, options.seconds))
    reference = best["uvicorn: httptools, uvloop"]
    print(f"{os.cpu_count()} CPUs, {options.clients} clients: polls per CPU second, and relative to the second line")
    for name, rate in best.items():
        print(f"{name:<36} {rate:>8.0f} {rate / reference:>6.2f}")
    share = best["gateway: httptools, uvloop, bounds"] / reference
    if share < MIN_SHARE:
        sys.exit(f"with limits the rate is {share:.2f} of that without; at least {MIN_SHARE} is required")


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--serve", choices=[*SERVERS.values()], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def serve(kind: str, port: int) -> None:
    app = FastAPI()

    @app.get("/jobs/{task_id}")
    async def job(task_id: str) -> dict[str, object]:
        return {"task_id": task_id, "phase": "Running", "progress": {"step": 120, "total": 500}}

    if kind == "gateway":
        config = server_config(app, "127.0.0.1", port, ConnectionBounds(), 1)
    elif kind == "httptools":
        config = uvicorn.Config(app, port=port, http="httptools", loop="uvloop", access_log=False, log_config=None)
    else:
        config = uvicorn.Config(app, port=port, http="h11", loop="asyncio", access_log=False, log_config=None)
    uvicorn.Server(config).run()


def measure(kind: str, clients: int, seconds: float) -> float:
    """Polls per second of the server's CPU time."""
    with running(kind) as (port, pid):
        asyncio.run(load(port, clients, seconds / 4))
        before = _cpu_seconds(pid)
        answers = asyncio.run(load(port, clients, seconds))
        return answers / (_cpu_seconds(pid) - before)


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process: fields 14 and 15 of proc(5)'s stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(kind: str) -> Iterator[tuple[int, int]]:
    """Port and process id of a server in a separate process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, "--serve", kind, "--port", str(port)])
    try:
        end = time.monotonic() + START_SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > end or process.poll() is not None:
                sys.exit(f"the server {kind} does not respond")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


async def load(port: int, clients: int, seconds: float) -> int:
    """The number of responses to all clients."""
    return sum(await asyncio.gather(*(_poll(port, seconds) for _ in range(clients))))


async def _poll(port: int, seconds: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end, answers = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        answers += 1
        if answers == 1 and json.loads(body)["phase"] != "Running":
            sys.exit(f"unexpected response: {body!r}")
    writer.close()
    return answers


if __name__ == "__main__":
    main()
