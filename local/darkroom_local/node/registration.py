"""Makes this machine known as a Node, and keeps it so. Run by `node.py` for as long as the node lives."""

import asyncio
import contextlib
import logging
import os
import platform
from datetime import UTC, datetime

import httpx

from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube import Json, KubeClient
from darkroom_local.node.settings import GPU_RESOURCE, NodeSettings
from darkroom_local.node.statuses import now

log = logging.getLogger(__name__)

LEASE_SECONDS = 40
"""As kubelets have it; after so long a node counts as lost."""
STATUS_INTERVAL_SECONDS = 60
LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MANAGER = "darkroom-node"


class Registration:
    """The Node object, its status, and its Lease."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self._client = client
        self._settings = settings
        self._path = f"/api/v1/nodes/{settings.name}"
        self._corrected = asyncio.Event()
        self._registered = self._withdrawn = False

    async def run(self) -> None:
        """For ever; whatever fails is tried again at the next turn."""
        clock = asyncio.get_running_loop().time
        status_due = clock()
        while True:
            try:
                if clock() >= status_due:
                    await self._register()
                    status_due = clock() + STATUS_INTERVAL_SECONDS
                await self._renew_lease()
            except (ApiError, httpx.TransportError) as error:
                log.warning("the node can't be kept registered: %s", error)
                status_due = clock()
                await asyncio.sleep(1)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._corrected.wait(), self._settings.heartbeat_seconds)
                if self._corrected.is_set():
                    self._corrected.clear()
                    status_due = clock()

    def observe(self, node: Json | None) -> None:
        """A node that was lost, or was deleted, says at once that it is back."""
        conditions = ((node or {}).get("status") or {}).get("conditions") or []
        is_lost = any(each["type"] == "Ready" and each["status"] == "Unknown" for each in conditions)
        if (node is None or is_lost) and self._registered and not self._withdrawn:
            self._corrected.set()

    async def withdraw(self) -> None:
        """Say that the node is about to be away, so that nothing new is bound to it."""
        self._withdrawn = True
        condition = _ready("False", "NodeShutdown", "the node was told to stop")
        await self._client.patch(f"{self._path}/status", {"status": {"conditions": [condition]}})

    async def _register(self) -> None:
        try:
            await self._client.create("/api/v1/nodes", self._node())
        except ConflictError:
            log.debug("%s is registered already", self._settings.name)
        await self._client.patch(f"{self._path}/status", {"status": self._status()})
        self._registered = True

    async def _renew_lease(self) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._settings.name, "namespace": "kube-node-lease"},
            "spec": {
                "holderIdentity": self._settings.name,
                "leaseDurationSeconds": LEASE_SECONDS,
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }
        try:
            await self._client.apply(f"{LEASES_PATH}/{self._settings.name}", lease, MANAGER)
        except NotFoundError:
            log.debug("this API server has no namespace kube-node-lease: nobody looks at leases there")

    def _node(self) -> Json:
        labels = {
            "kubernetes.io/hostname": self._settings.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
        }
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._settings.name, "labels": labels}}

    def _status(self) -> Json:
        resources = {
            "cpu": str(os.cpu_count() or 1),
            "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki",
            "pods": "110",
            GPU_RESOURCE: "1",
        }
        return {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [_ready("True", "NodeReady", "the local node takes pods")],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._settings.port}},
            "nodeInfo": _node_info(),
        }


def _ready(status: str, reason: str, message: str) -> Json:
    moment = now()
    times = {"lastHeartbeatTime": moment, "lastTransitionTime": moment}
    return {"type": "Ready", "status": status, "reason": reason, "message": message, **times}


def _node_info() -> Json:
    """Every field is required by the schema of Kubernetes; what has no meaning here is empty."""
    empty = ("machineID", "systemUUID", "bootID", "kubeProxyVersion")
    return dict.fromkeys(empty, "") | {
        "kernelVersion": platform.release(),
        "osImage": "this machine, without containers",
        "containerRuntimeVersion": "process://1",
        "kubeletVersion": "darkroom-local",
        "operatingSystem": "linux",
        "architecture": _architecture(),
    }


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
