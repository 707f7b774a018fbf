"""Gives pending runner pods to this node: what the scheduler does in a real cluster. Run by `node.py`.

Where there is a real scheduler too, whoever is faster binds a pod; the other one's try is refused.
"""

import asyncio
import logging

import httpx

from darkroom_contract.names import LABEL_COMPONENT, RUNNER_COMPONENT
from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube.client import STRATEGIC_PATCH, Backoff, Json, KubeClient, Reflector
from darkroom_local.node.node_fit import unschedulable_reason
from darkroom_local.node.pod_status import unschedulable
from darkroom_local.node.settings import GPU_RESOURCE, NodeSettings

log = logging.getLogger(__name__)

COMMON_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage", GPU_RESOURCE})


class Scheduler:
    """Looks at all pods of the namespace that have no node yet, and at the node, which may be cordoned or tainted."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self._client = client
        self._settings = settings
        self._path = f"/api/v1/namespaces/{settings.namespace}/pods"
        self._pods: dict[str, Json] = {}
        self._node: Json | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled."""
        query = {"labelSelector": f"{LABEL_COMPONENT}={RUNNER_COMPONENT}", "fieldSelector": "spec.nodeName="}
        mirror = Reflector(self._client, self._path, self._observe, **query)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(mirror.run(), name="watch-pending-pods")
            tasks.create_task(self._bind_all(), name="bind")

    def observe_node(self, node: Json | None) -> None:
        """The Node object as it is now; nothing is bound before there is one."""
        self._node = node
        self._changed.set()

    def _observe(self, pods: dict[str, Json]) -> None:
        self._pods = dict(pods)
        self._changed.set()

    async def _bind_all(self) -> None:
        waits = Backoff()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                for pod in list(self._pods.values()):
                    await self._place(pod)
                waits.reset()
            except (ApiError, httpx.TransportError) as error:
                log.warning("binding pods: %r; trying again", error)
                self._changed.set()
                await waits.wait()

    async def _place(self, pod: Json) -> None:
        name = pod["metadata"]["name"]
        if not needs_scheduling(pod) or self._node is None:
            return
        missing = missing_resources(pod)
        why = f"the local node has no {', '.join(missing)}" if missing else unschedulable_reason(pod, self._node)
        try:
            if why:
                await self._refuse(pod, why)
            else:
                await self._bind(pod)
        except (ConflictError, NotFoundError) as error:
            log.info("%s was not bound, somebody was faster: %s", name, error)

    async def _bind(self, pod: Json) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": self._settings.namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._settings.name},
        }
        await self._client.create(f"{self._path}/{name}/binding", binding)
        log.info("%s is bound", name)

    async def _refuse(self, pod: Json, message: str) -> None:
        if any(each.get("message") == message for each in pod["status"].get("conditions") or []):
            return
        metadata = {key: pod["metadata"][key] for key in ("uid", "resourceVersion")}
        patch = {"metadata": metadata, "status": unschedulable(pod, message)}
        await self._client.patch(f"{self._path}/{pod['metadata']['name']}/status", patch, STRATEGIC_PATCH)


def needs_scheduling(pod: Json) -> bool:
    """Whether a scheduler would take it now: not gated, not on its way out, not over."""
    metadata, spec = pod["metadata"], pod["spec"]
    held = spec.get("nodeName") or spec.get("schedulingGates") or "deletionTimestamp" in metadata
    return not held and (pod.get("status") or {}).get("phase") == "Pending"


def missing_resources(pod: Json) -> list[str]:
    """Extended resources that the pod asks for and that this node does not have, or not so many of."""
    missing: set[str] = set()
    for container in pod["spec"].get("containers") or []:
        resources = container.get("resources") or {}
        asked = (resources.get("limits") or {}) | (resources.get("requests") or {})
        missing.update(name for name in asked if name not in COMMON_RESOURCES)
        if int(asked.get(GPU_RESOURCE, 0)) > 1:
            missing.add(f"{GPU_RESOURCE} ({asked[GPU_RESOURCE]} are asked for, and there is 1)")
    return sorted(missing)
