"""Latency of a hand-over: from *slot free in the API* to *next pod created in the API*, with many jobs waiting.

    python benchmarks/admission.py                                 the embedded API server
    python benchmarks/admission.py --kubeconfig ~/.kube/config     any cluster that has Darkroom's CRDs

Only the operator is real. Its pods request a resource that no node has, so nothing runs them: this program ends each
one, by the status that a kubelet would write, as soon as the operator has ungated it. Both moments are taken from one
watch of pods. With `--plain-job` a plain Kubernetes Job with parallelism 1 is measured in the same way, on a cluster
with a Job controller (the embedded one has none). With `--quota` everything is measured again with a ResourceQuota of
one pod, the chart's second safeguard.

A proxy between the operator and the API server counts requests, in separate hand-overs that are not timed.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from aiohttp import ClientSession, ClientTimeout, web

from darkroom_contract import names
from darkroom_contract.crd.definitions import definition
from darkroom_contract.names import API_VERSION, GROUP, VERSION, Kind
from darkroom_contract.outcome import Outcome
from darkroom_local.errors import ApiError
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import Connection, read_kubeconfig, write_kubeconfig
from darkroom_local.processes.ports import free_ports
from darkroom_operator.leader_election import LEASE

Json = dict[str, Any]

NO_NODE_HAS = f"{names.GROUP}/benchmark"
"""An extended resource: pods that request it wait forever."""
MESSAGE = Outcome(succeeded=True, prefix="runs/benchmark/").to_message()
UNUSED = "unused"
"""The proxy requires no token."""
COUNTED = 20
CREATING_AT_ONCE = 16
SETTLE_SECONDS = 300.0
TIMEOUT_SECONDS = 60.0


def main() -> None:
    options = read_options()
    print(f"{platform.machine()}, {os.cpu_count()} CPU cores; {options.handovers} hand-overs each")
    with open_cluster(options.kubeconfig) as kubeconfig:
        asyncio.run(measure_all(kubeconfig, options))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--waiting", type=int, nargs="+", default=[10, 1_000], help="number of waiting jobs")
    parser.add_argument("--handovers", type=int, default=100, help="number of timed hand-overs")
    parser.add_argument("--kubeconfig", type=Path, help="a cluster; without it an embedded API server is started")
    parser.add_argument("--quota", action="store_true", help="measure again with a ResourceQuota of one pod")
    parser.add_argument("--plain-job", action="store_true", help="measure a plain Kubernetes Job as well")
    return parser.parse_args()


# --- clusters ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_cluster(named: Path | None) -> Iterator[Path]:
    """The given kubeconfig, or that of an API server that runs as long as this context."""
    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        [port] = free_ports(1)
        token, token_file, kubeconfig = secrets.token_hex(16), Path(folder, "token"), Path(folder, "kubeconfig")
        token_file.write_text(token)
        kubeconfig.write_text(write_kubeconfig(f"http://127.0.0.1:{port}", token, "default"))
        command = [sys.executable, "-m", "darkroom_local.apiserver", "--data-dir", str(Path(folder, "data"))]
        server = subprocess.Popen([*command, "--port", str(port), "--token-file", str(token_file)])
        try:
            wait_for_server(f"http://127.0.0.1:{port}/readyz")
            install_crds(read_kubeconfig(kubeconfig))
            yield kubeconfig
        finally:
            server.terminate()
            server.wait(10)


def wait_for_server(url: str) -> None:
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.05)
    sys.exit(f"{url} does not answer")


def install_crds(connection: Connection) -> None:
    for kind in Kind:
        url = f"{connection.server}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        httpx.post(url, json=definition(kind), trust_env=False).raise_for_status()


# --- what is measured --------------------------------------------------------------------------------------------


@dataclass
class Handovers:
    """Watches the pods, ends each as soon as it may run, and measures the time until the next one."""

    kube: KubeClient
    pods: str
    selector: str
    seconds: list[float] = field(default_factory=list)
    _freed: float | None = None
    _ended: set[str] = field(default_factory=set)

    async def until(self, count: int) -> None:
        """Until this number of hand-overs was measured."""
        listed = await self.kube.get(self.pods, labelSelector=self.selector)
        for pod in listed["items"]:
            await self._see("ADDED", pod)
        version = listed["metadata"]["resourceVersion"]
        async for event in self.kube.watch(self.pods, version, labelSelector=self.selector):
            if event["type"] != "BOOKMARK":
                await self._see(event["type"], event["object"])
            if len(self.seconds) >= count:
                return

    async def _see(self, change: str, pod: Json) -> None:
        name = pod["metadata"]["name"]
        over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
        if change == "ADDED" and self._freed is not None and not over:
            self.seconds.append(time.perf_counter() - self._freed)
            self._freed = None
        if over and change == "MODIFIED":
            self._freed = self._freed or time.perf_counter()
        elif not over and not pod["spec"].get("schedulingGates") and name not in self._ended:
            self._ended.add(name)
            await self._end(name)

    async def _end(self, name: str) -> None:
        """Report the end as a kubelet does."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ended = {"exitCode": 0, "reason": "Completed", "message": MESSAGE, "startedAt": now, "finishedAt": now}
        container = {"name": names.RUNNER_CONTAINER, "ready": False, "restartCount": 0, "image": "", "imageID": ""}
        status = {"phase": "Succeeded", "containerStatuses": [container | {"state": {"terminated": ended}}]}
        await self.kube.patch(f"{self.pods}/{name}/status", {"status": status})


async def measure_all(kubeconfig: Path, options: argparse.Namespace) -> None:
    print(f"{'waiting':>8} {'p50 ms':>8} {'p99 ms':>8} {'worst':>8} {'requests/job':>13} {'CPU ms/job':>11} {'MiB':>6}")
    connection = read_kubeconfig(kubeconfig)
    async with KubeClient(connection) as kube:
        for with_quota in (False, True)[: 1 + options.quota]:
            if with_quota:
                print("with a ResourceQuota of one pod:")
            for count in options.waiting:
                async with new_namespace(kube) as namespace:
                    if with_quota:
                        await create_quota(kube, namespace)
                    await measure(kube, connection, kubeconfig, namespace, count, options.handovers)
        if options.plain_job:
            async with new_namespace(kube) as namespace:
                await measure_plain_job(kube, namespace, options.handovers)


@contextlib.asynccontextmanager
async def new_namespace(kube: KubeClient) -> AsyncIterator[str]:
    """The name of a new namespace; its objects are deleted with it, if the cluster does that."""
    name = f"darkroom-bench-{secrets.token_hex(3)}"
    made = await kube.create("/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        yield name
    finally:
        with contextlib.suppress(ApiError):
            await kube.delete(f"/api/v1/namespaces/{name}", uid=made["metadata"]["uid"], grace_seconds=0)


async def create_quota(kube: KubeClient, namespace: str) -> None:
    """A quota of one pod that is not terminated; waits until the cluster enforces it."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    await kube.create(path, {"metadata": {"name": "fence"}, "spec": {"hard": {"pods": "1"}}})
    end = time.monotonic() + TIMEOUT_SECONDS
    while not (await kube.get(f"{path}/fence")).get("status", {}).get("used"):
        if time.monotonic() > end:
            sys.exit("the cluster does not enforce a ResourceQuota")
        await asyncio.sleep(0.1)


async def measure(
    kube: KubeClient, connection: Connection, kubeconfig: Path, namespace: str, waiting: int, handovers: int
) -> None:
    # One more than are ended: the last hand-over needs a next job.
    await create_jobs(kube, namespace, waiting + handovers + COUNTED + 2)
    with start_operator(kubeconfig, namespace) as operator:
        await settle(kube, namespace)
        seen, before = runner_pods(kube, namespace), cpu_seconds(operator.pid)
        await asyncio.wait_for(seen.until(handovers), TIMEOUT_SECONDS + handovers)
        cpu_ms = 1000 * (cpu_seconds(operator.pid) - before) / handovers
        memory = peak_memory_mib(operator.pid)
    per_job = await count_requests(kube, connection, namespace)
    milliseconds = sorted(1000 * each for each in seen.seconds)
    p99 = milliseconds[min(len(milliseconds) - 1, round(0.99 * len(milliseconds)))]
    numbers = f"{statistics.median(milliseconds):8.1f} {p99:8.1f} {milliseconds[-1]:8.1f}"
    print(f"{waiting:8} {numbers} {per_job:13.1f} {cpu_ms:11.1f} {memory:6.0f}", flush=True)


async def count_requests(kube: KubeClient, connection: Connection, namespace: str) -> float:
    """The operator's requests per job, including status updates of waiting jobs."""
    async with counting_proxy(connection, namespace) as (kubeconfig, requests):
        with start_operator(kubeconfig, namespace):
            counted = runner_pods(kube, namespace)
            # An operator that has just started writes every queue position, beside its hand-overs.
            await asyncio.wait_for(counted.until(1), SETTLE_SECONDS)
            requests.clear()
            await asyncio.wait_for(counted.until(COUNTED), SETTLE_SECONDS)
            return requests.total() / (COUNTED - 1)


def runner_pods(kube: KubeClient, namespace: str) -> Handovers:
    selector = f"{names.LABEL_COMPONENT}={names.RUNNER_COMPONENT}"
    return Handovers(kube, f"/api/v1/namespaces/{namespace}/pods", selector)


async def create_jobs(kube: KubeClient, namespace: str, count: int) -> None:
    path = jobs_path(namespace)
    connections = asyncio.Semaphore(CREATING_AT_ONCE)

    async def create(number: int) -> None:
        async with connections:
            metadata = {"name": f"job-{number}", "namespace": namespace}
            document = {"apiVersion": API_VERSION, "kind": Kind.GENERATE.value, "metadata": metadata}
            await kube.create(path, document | {"spec": {"prompt": "a red star on a navy background"}})

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(create(number))


def jobs_path(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{Kind.GENERATE.plural}"


async def settle(kube: KubeClient, namespace: str) -> None:
    """Until every job has a status, or for five minutes."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        jobs = await all_jobs(kube, namespace)
        if all(job.get("status", {}).get("phase") for job in jobs):
            return
        await asyncio.sleep(1)


async def all_jobs(kube: KubeClient, namespace: str) -> list[Json]:
    found: list[Json] = []
    query = {"limit": "500"}
    while True:
        page = await kube.get(jobs_path(namespace), **query)
        found += page["items"]
        if not (token := page["metadata"].get("continue")):
            return found
        query["continue"] = token


# --- the operator ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def start_operator(kubeconfig: Path, namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "DARKROOM_NAMESPACE": namespace,
        "DARKROOM_RUNNER_IMAGE": "darkroom/runner:benchmark",
        "DARKROOM_GPU_RESOURCE": NO_NODE_HAS,
    }
    command = [sys.executable, "-m", "darkroom_operator.main"]
    operator = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield operator
    finally:
        operator.terminate()
        operator.wait(20)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return float("nan")


@contextlib.asynccontextmanager
async def counting_proxy(connection: Connection, namespace: str) -> AsyncIterator[tuple[Path, Counter[str]]]:
    """A proxy to the API server that counts requests by method. Yields its kubeconfig and the counter."""
    requests: Counter[str] = Counter()
    headers = {"Authorization": f"Bearer {connection.token}"} if connection.token else {}
    tls = connection.verify if connection.server.startswith("https") else None

    async def forward(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith(f"/{LEASE}"):  # A leader renews its term once a second anyway.
            requests[request.method] += 1
        url = connection.server + request.rel_url.raw_path_qs.removeprefix(f"/{UNUSED}")
        kept = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
        # An empty body would be sent with a content type, which a real API server refuses.
        body = await request.read() or None
        async with session.request(request.method, url, data=body, headers=headers | kept, ssl=tls or True) as answer:
            response = web.StreamResponse(status=answer.status)
            response.content_type = answer.content_type
            with contextlib.suppress(ConnectionResetError):  # The operator ends its watches when it is stopped.
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response

    [port] = free_ports(1)
    app = web.Application(client_max_size=64 * 1024**2)
    app.router.add_route("*", "/{path:.*}", forward)
    async with ClientSession(timeout=ClientTimeout(total=None)) as session:
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
            kubeconfig.write(write_kubeconfig(f"http://127.0.0.1:{port}", UNUSED, namespace))
            kubeconfig.flush()
            yield Path(kubeconfig.name), requests
        await runner.cleanup()


# --- the reference -----------------------------------------------------------------------------------------------


async def measure_plain_job(kube: KubeClient, namespace: str, handovers: int) -> None:
    """A Kubernetes Job with parallelism 1: its controller's own hand-over from pod to pod."""
    container: Json = {"name": names.RUNNER_CONTAINER, "image": "darkroom/runner:benchmark"}
    container["resources"] = {"limits": {NO_NODE_HAS: "1"}, "requests": {NO_NODE_HAS: "1"}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"parallelism": 1, "completions": handovers + 2, "template": template}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "reference"}, "spec": spec}
    await kube.create(f"/apis/batch/v1/namespaces/{namespace}/jobs", job)
    seen = Handovers(kube, f"/api/v1/namespaces/{namespace}/pods", "batch.kubernetes.io/job-name=reference")
    await asyncio.wait_for(seen.until(handovers), TIMEOUT_SECONDS + 2 * handovers)
    milliseconds = sorted(1000 * each for each in seen.seconds)
    print(
        f"a plain Job with parallelism 1: median {statistics.median(milliseconds):.1f}, worst {milliseconds[-1]:.1f} ms"
    )


if __name__ == "__main__":
    main()
