"""Registers this machine as a Node, renews its Lease, and deletes both at the end. Run by `node.py`.

The Node is tainted, so only runner pods are scheduled to it. An annotation holds the identity of the data directory, by
which a restarted node recognizes the Node that its predecessor created.
"""

import asyncio
import contextlib
import logging
import os
import platform
import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx

from darkroom_contract.names import GROUP
from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube.client import Json, KubeClient
from darkroom_local.node.pod_status import now
from darkroom_local.node.settings import GPU_RESOURCE, TAINT, NodeSettings
from darkroom_local.state.private_files import write_private

log = logging.getLogger(__name__)

LEASE_SECONDS = 40
"""Without a renewal for this long a node counts as lost; the kubelet's default."""
STATUS_INTERVAL_SECONDS = 60
LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
FIELD_MANAGER = "darkroom-node"
OWNER_ANNOTATION = f"{GROUP}/node-identity"
"""On a Node: the identity of the data directory whose node created it."""
IDENTITY_FILE = "identity"


class Registration:
    """The Node object, its status, and its Lease."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self._client = client
        self._settings = settings
        self._path = f"/api/v1/nodes/{settings.name}"
        self._lease_path = f"{LEASES_PATH}/{settings.name}"
        self._identity = _identity(settings.data_dir)
        self._uid: str | None = None
        """Of the Node, if this data directory created it."""
        self._lease_uid: str | None = None
        self._lock = asyncio.Lock()
        self._outdated = asyncio.Event()
        self._registered = self._leaving = False

    async def run(self) -> None:
        """Renew status and Lease until the node leaves; failed requests are retried."""
        clock = asyncio.get_running_loop().time
        status_due = clock()
        while True:
            try:
                async with self._lock:
                    if self._leaving:
                        return
                    if clock() >= status_due:
                        await self._register()
                        status_due = clock() + STATUS_INTERVAL_SECONDS
                    await self._renew_lease()
            except (ApiError, httpx.TransportError) as error:
                log.warning("registering the node failed: %s; retrying", error)
                status_due = clock()
                await asyncio.sleep(1)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.heartbeat_seconds):
                        await self._outdated.wait()
                if self._outdated.is_set():
                    self._outdated.clear()
                    status_due = clock()

    def observe(self, node: Json | None) -> None:
        """Register again at once when the Node was deleted, or marked as lost."""
        conditions = ((node or {}).get("status") or {}).get("conditions") or []
        is_lost = any(each["type"] == "Ready" and each["status"] == "Unknown" for each in conditions)
        if (node is None or is_lost) and self._registered and not self._leaving:
            self._outdated.set()

    async def set_not_ready(self) -> None:
        """Set Ready to False before the shutdown, so that no new pod is bound to the node."""
        self._leaving = True
        condition = _ready("False", "NodeShutdown", "the node is shutting down")
        async with self._lock:
            await self._client.patch(f"{self._path}/status", {"status": {"conditions": [condition]}})

    async def remove(self) -> None:
        """Delete the Node and its Lease, after all runs ended.

        Only if this data directory created the Node: another one of this name stays, with its Lease.
        """
        self._leaving = True
        async with self._lock:
            if self._uid is None:
                log.info("node %s was created by another node: not deleting it", self._settings.name)
                return
            try:
                await self._delete(self._path, self._uid)
                if self._lease_uid is not None:
                    await self._delete(self._lease_path, self._lease_uid)
            except ConflictError as error:
                log.info("node %s was replaced by another node: %s", self._settings.name, error)

    async def _delete(self, path: str, uid: str) -> None:
        """Raises `ConflictError` when the object of this name has another uid."""
        with contextlib.suppress(NotFoundError):
            await self._client.delete(path, uid=uid, grace_seconds=0)

    async def _register(self) -> None:
        try:
            node = await self._client.create("/api/v1/nodes", self._node())
        except ConflictError:
            node = await self._tainted(await self._client.get(self._path))
        metadata = node["metadata"]
        is_own = (metadata.get("annotations") or {}).get(OWNER_ANNOTATION) == self._identity
        self._uid = metadata["uid"] if is_own else None
        await self._client.patch(f"{self._path}/status", {"status": self._status()})
        self._registered = True

    async def _tainted(self, node: Json) -> Json:
        """An existing Node, with our taint added."""
        taints = (node.get("spec") or {}).get("taints") or []
        if any(each["key"] == TAINT["key"] and each["effect"] == TAINT["effect"] for each in taints):
            return node
        metadata = {name: node["metadata"][name] for name in ("uid", "resourceVersion")}
        return await self._client.patch(self._path, {"metadata": metadata, "spec": {"taints": [*taints, TAINT]}})

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
            applied = await self._client.apply(self._lease_path, lease, FIELD_MANAGER)
            self._lease_uid = applied["metadata"]["uid"]
        except NotFoundError:
            log.debug("the API server has no namespace kube-node-lease: no Lease is needed")

    def _node(self) -> Json:
        labels = {
            "kubernetes.io/hostname": self._settings.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _architecture(),
        }
        annotations = {OWNER_ANNOTATION: self._identity}
        metadata = {"name": self._settings.name, "labels": labels, "annotations": annotations}
        return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": [TAINT]}}

    def _status(self) -> Json:
        resources = machine_resources()
        return {
            "capacity": resources,
            "allocatable": resources,
            "conditions": [_ready("True", "NodeReady", "the local node accepts pods")],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._settings.port}},
            "nodeInfo": _node_info(),
        }


def machine_resources() -> dict[str, str]:
    """What the node offers to pods."""
    return {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki",
        "pods": "110",
        GPU_RESOURCE: "1",
    }


def _identity(data_dir: Path) -> str:
    """The random identity of a data directory, created at its first use."""
    path = data_dir / IDENTITY_FILE
    if not path.exists():
        write_private(path, f"{uuid.uuid4()}\n")
    return path.read_text(encoding="utf-8").strip()


def _ready(status: str, reason: str, message: str) -> Json:
    time = now()
    times = {"lastHeartbeatTime": time, "lastTransitionTime": time}
    return {"type": "Ready", "status": status, "reason": reason, "message": message, **times}


def _node_info() -> Json:
    """The schema requires every field; those without a meaning here are empty."""
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
