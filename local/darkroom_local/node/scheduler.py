"""Binds pending runner pods to this node, in place of kube-scheduler. Run by `node.py`.

Beside a real scheduler the first binding wins; the API server rejects the second.
"""

import asyncio
import logging

import httpx

from darkroom_contract.names import LABEL_COMPONENT, RUNNER_COMPONENT
from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube.client import STRATEGIC_PATCH, Json, KubeClient
from darkroom_local.kube.reflector import Reflector
from darkroom_local.kube.retry import request_backoff
from darkroom_local.node.node_fit import missing_resources, needs_scheduling, unschedulable_reason
from darkroom_local.node.pod_status import unschedulable
from darkroom_local.node.settings import NodeSettings

log = logging.getLogger(__name__)


class Scheduler:
    """Watches the namespace's pods without a node, and the Node, which may be cordoned or tainted."""

    def __init__(self, client: KubeClient, settings: NodeSettings) -> None:
        self._client = client
        self._settings = settings
        self._path = f"/api/v1/namespaces/{settings.namespace}/pods"
        self._pods: dict[str, Json] = {}
        self._node: Json | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        query = {"labelSelector": f"{LABEL_COMPONENT}={RUNNER_COMPONENT}", "fieldSelector": "spec.nodeName="}
        pending = Reflector(self._client, self._path, self._observe, **query)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pending.run(), name="watch-pending-pods")
            tasks.create_task(self._schedule_all(), name="schedule")

    def observe_node(self, node: Json | None) -> None:
        """The current Node. Nothing is bound while it does not exist."""
        self._node = node
        self._changed.set()

    def _observe(self, pods: dict[str, Json]) -> None:
        self._pods = dict(pods)
        self._changed.set()

    async def _schedule_all(self) -> None:
        backoff = request_backoff()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                for pod in list(self._pods.values()):
                    await self._schedule(pod)
                backoff.reset()
            except (ApiError, httpx.TransportError) as error:
                log.warning("binding pods failed: %r; retrying", error)
                self._changed.set()
                await backoff.wait()

    async def _schedule(self, pod: Json) -> None:
        if not needs_scheduling(pod) or self._node is None:
            return
        missing = missing_resources(pod)
        reason = f"the local node has no {', '.join(missing)}" if missing else unschedulable_reason(pod, self._node)
        try:
            if reason:
                await self._mark_unschedulable(pod, reason)
            else:
                await self._bind(pod)
        except (ConflictError, NotFoundError) as error:
            log.info("%s was not bound, it changed in the meantime: %s", pod["metadata"]["name"], error)

    async def _bind(self, pod: Json) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": self._settings.namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self._settings.name},
        }
        await self._client.create(f"{self._path}/{name}/binding", binding)
        log.info("bound %s", name)

    async def _mark_unschedulable(self, pod: Json, message: str) -> None:
        if any(each.get("message") == message for each in pod["status"].get("conditions") or []):
            return
        metadata = {key: pod["metadata"][key] for key in ("uid", "resourceVersion")}
        patch = {"metadata": metadata, "status": unschedulable(message)}
        await self._client.patch(f"{self._path}/{pod['metadata']['name']}/status", patch, STRATEGIC_PATCH)
