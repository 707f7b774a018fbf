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
import os
import platform
import statistics
from pathlib import Path

from admission_cluster import (
    SETTLE_SECONDS,
    Handovers,
    Json,
    create_jobs,
    create_quota,
    new_namespace,
    open_cluster,
    percentile_99,
    settle,
)
from admission_operator import NO_NODE_HAS, counting_proxy, cpu_seconds, peak_memory_mib, start_operator

from darkroom_contract import names
from darkroom_local.kube.client import KubeClient
from darkroom_local.kube.kubeconfig import Connection, read_kubeconfig

COUNTED = 20
"""Hand-overs during which requests are counted."""
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
    numbers = f"{statistics.median(milliseconds):8.1f} {percentile_99(milliseconds):8.1f} {milliseconds[-1]:8.1f}"
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
