"""The cluster side of the admission benchmarks: an API server, a namespace with jobs, and the role of the kubelet."""

import asyncio
import contextlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from darkroom_contract import names
from darkroom_contract.names import API_VERSION, GROUP, VERSION, Kind
from darkroom_contract.outcome import Outcome
from darkroom_local.errors import ApiError
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import Connection, read_kubeconfig, write_kubeconfig
from darkroom_local.processes.ports import free_ports

Json = dict[str, Any]

CRDS = Path(__file__).parents[1] / "crds"
MESSAGE = Outcome(succeeded=True, prefix="runs/benchmark/").to_message()
CREATING_AT_ONCE = 16
SETTLE_SECONDS = 900.0
TIMEOUT_SECONDS = 60.0


@contextlib.contextmanager
def open_cluster(named: Path | None, crds: Path = CRDS) -> Iterator[Path]:
    """The given kubeconfig, or that of an API server with these CRDs, which runs as long as this context."""
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
            install_crds(read_kubeconfig(kubeconfig), crds)
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


def install_crds(connection: Connection, crds: Path) -> None:
    url = f"{connection.server}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for path in sorted(crds.glob("*.yaml")):
        httpx.post(url, json=yaml.safe_load(path.read_text()), trust_env=False).raise_for_status()


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


def percentile_99(ascending: list[float]) -> float:
    return ascending[min(len(ascending) - 1, round(0.99 * len(ascending)))]


def jobs_path(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{Kind.GENERATE.plural}"


async def settle(kube: KubeClient, namespace: str) -> None:
    """Until every job has a status, or for a quarter of an hour."""
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
