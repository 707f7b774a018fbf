"""Makes this machine known as a Node, keeps it so, and takes it away at the end. Run by `node.py` as long as it lives.

The node is tainted, so that a scheduler puts nothing there but runs of the operator that tolerates it. A Node that it
creates carries the identity of the data folder as an annotation, so that a node which was killed knows its own again.
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
from darkroom_local.state.state_dir import write_private

log = logging.getLogger(__name__)

LEASE_SECONDS = 40
"""As kubelets have it; after so long a node counts as lost."""
STATUS_INTERVAL_SECONDS = 60
LEASES_PATH = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
MANAGER = "darkroom-node"
OWNER_ANNOTATION = f"{GROUP}/node-identity"
"""On a Node: the identity of the data folder whose node created it."""
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
        """Of the Node, if it carries our identity."""
        self._lease_uid: str | None = None
        self._turn = asyncio.Lock()
        self._corrected = asyncio.Event()
        self._registered = self._withdrawn = False

    async def run(self) -> None:
        """Until the node is withdrawn; whatever fails is tried again at the next turn."""
        clock = asyncio.get_running_loop().time
        status_due = clock()
        while True:
            try:
                async with self._turn:
                    if self._withdrawn:
                        return
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
        async with self._turn:
            await self._client.patch(f"{self._path}/status", {"status": {"conditions": [condition]}})

    async def remove(self) -> None:
        """Delete the Node and its Lease, once its runs have ended.

        Only a Node that this data folder's node created, and the Lease of such a Node: others of the same name stay.
        """
        self._withdrawn = True
        async with self._turn:
            if self._uid is None:
                log.info("node %s was not created by this node: it stays", self._settings.name)
                return
            try:
                await self._delete(self._path, self._uid)
                if self._lease_uid is not None:
                    await self._delete(self._lease_path, self._lease_uid)
            except ConflictError as error:
                log.info("node %s belongs to another one now: %s", self._settings.name, error)

    async def _delete(self, path: str, uid: str) -> None:
        """Raises `ConflictError` when another object has the name now."""
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
        """A node that was registered before, with our taint beside those of others."""
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
            applied = await self._client.apply(self._lease_path, lease, MANAGER)
            self._lease_uid = applied["metadata"]["uid"]
        except NotFoundError:
            log.debug("this API server has no namespace kube-node-lease: nobody looks at leases there")

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


def _identity(data_dir: Path) -> str:
    """A random name of the data folder, made at its first use."""
    path = data_dir / IDENTITY_FILE
    if not path.exists():
        write_private(path, f"{uuid.uuid4()}\n")
    return path.read_text(encoding="utf-8").strip()


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
