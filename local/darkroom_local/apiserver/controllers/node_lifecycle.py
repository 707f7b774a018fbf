"""The node lifecycle controller: marks unresponsive nodes, taints them, and evicts their pods.

In the shape of Kubernetes 1.36's node-lifecycle and taint-eviction controllers (pkg/controller/nodelifecycle,
pkg/controller/tainteviction): the node gets `Ready=Unknown` with the reason NodeStatusUnknown; its pods get
`Ready=False` and *no reason*, and the rest of their statuses stays as the node wrote it. Times are measured with this
process's clock, from when it saw a change: the clocks of nodes do not matter, and after a restart of the server every
node gets a full grace period again. Only nodes with a Lease in kube-node-lease are monitored.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from darkroom_local.apiserver.admission.tolerations import NOT_READY, UNREACHABLE, UNSCHEDULABLE, seconds_tolerated
from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig, find_condition, is_being_deleted, now
from darkroom_local.apiserver.controllers.pod_garbage_collector import PodGarbageCollector
from darkroom_local.apiserver.patching.patches import STRATEGIC
from darkroom_local.apiserver.registry.pods import disruption_target
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.resource import LEASES, NODES, PODS
from darkroom_local.apiserver.storage.store import Event, StoreConflictError

log = logging.getLogger(__name__)

GRACE_SECONDS = 50.0
"""How long a node may be unresponsive (`--node-monitor-grace-period` of kube-controller-manager 1.36)."""
PERIOD_SECONDS = 5.0
"""Maximum interval between two rounds (`--node-monitor-period`)."""
LEASE_NAMESPACE = "kube-node-lease"
OWN_TAINTS = (NOT_READY, UNREACHABLE, UNSCHEDULABLE)
CONTROLLER = WriteOptions(manager="kube-controller-manager")
UNRESPONSIVE = {
    "status": "Unknown",
    "reason": "NodeStatusUnknown",
    "message": "Kubelet stopped posting node status.",
}


class NodeLifecycle:
    """One task that checks all nodes, periodically and after every change of one."""

    def __init__(
        self, api: ResourceApi, grace_seconds: float = GRACE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api, self._grace_seconds, self._clock = api, grace_seconds, clock
        self._heartbeats: dict[str, tuple[tuple[str, str], float]] = {}
        """By node uid: the last heartbeats, and when they changed."""
        self._tainted: dict[tuple[str, str], float] = {}
        """By node uid and taint key: since when the taint exists."""
        self._marked: set[str] = set()
        """Uids of nodes whose pods were marked not ready since the node stopped being ready."""
        self._pod_garbage_collector = PodGarbageCollector(api, clock)
        self._changed = asyncio.Event()
        api.store.subscribe(self._on_event)

    async def run(self) -> None:
        period = min(PERIOD_SECONDS, self._grace_seconds / 5)
        while True:
            self._changed.clear()
            self.sync()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(period):
                    await self._changed.wait()

    def sync(self) -> None:
        """One round. A write that conflicts with another is retried in the next round."""
        nodes = self._api.store.items(NODES)
        self._forget_deleted({node["metadata"]["uid"] for node in nodes})
        for node in nodes:
            try:
                self._sync_node(node)
            except (StatusError, StoreConflictError) as error:
                log.warning("node %s: %s; retrying", node["metadata"]["name"], error)
        self._pod_garbage_collector.sync()

    def _on_event(self, event: Event) -> None:
        if event.collection == NODES:
            self._changed.set()

    def _forget_deleted(self, uids: set[str]) -> None:
        self._heartbeats = {uid: seen for uid, seen in self._heartbeats.items() if uid in uids}
        self._tainted = {key: since for key, since in self._tainted.items() if key[0] in uids}
        self._marked &= uids

    def _sync_node(self, node: Json) -> None:
        ready = find_condition(node, "Ready")
        if ready is None:  # The node has not posted its first status yet.
            self._taint(node, "True")
            return
        if ready["status"] != "Unknown" and self._is_unresponsive(node, ready):
            ready = ready | UNRESPONSIVE | {"lastTransitionTime": now()}
            log.warning("node %s is unresponsive: no heartbeat", node["metadata"]["name"])
            node = self._api.patch_status(self._target("nodes", node), {"conditions": [ready]}, CONTROLLER)
        node = self._taint(node, ready["status"])
        self._mark_pods_not_ready(node, ready["status"])
        self._evict(node)

    def _is_unresponsive(self, node: Json, ready: Json) -> bool:
        uid, name = node["metadata"]["uid"], node["metadata"]["name"]
        lease = self._api.store.get(LEASES, LEASE_NAMESPACE, name)
        if lease is None:
            return False
        heartbeats = (str(dig(lease, ("spec", "renewTime"))), str(ready.get("lastHeartbeatTime")))
        before, since = self._heartbeats.get(uid, (None, 0.0))
        if heartbeats != before:
            since = self._clock()
            self._heartbeats[uid] = (heartbeats, since)
        return self._clock() - since > self._grace_seconds

    def _taint(self, node: Json, ready: str) -> Json:
        """Set this controller's taints to those of the node's state."""
        present = dig(node, ("spec", "taints")) or []
        kept = [each for each in present if each["key"] not in OWN_TAINTS]
        known = {(each["key"], each["effect"]): each for each in present}
        wanted = [known.get((key, effect), _new_taint(key, effect)) for key, effect in _taints_of(node, ready)]
        if len(kept + wanted) == len(present) and all(each in present for each in wanted):
            return node
        patch = {"spec": {"taints": [*kept, *wanted] or None}}
        return self._api.patch(self._target("nodes", node), STRATEGIC, patch, CONTROLLER).document

    def _mark_pods_not_ready(self, node: Json, ready: str) -> None:
        """Once, when the node stops being ready; the node itself marks them ready again."""
        uid = node["metadata"]["uid"]
        if ready == "True":
            self._marked.discard(uid)
        elif uid not in self._marked:
            for pod in self._pods_on(node):
                condition = find_condition(pod, "Ready")
                if condition is not None and condition["status"] == "True":
                    self._set_condition(pod, condition | {"status": "False", "lastTransitionTime": now()})
            self._marked.add(uid)

    def _evict(self, node: Json) -> None:
        """Delete the pods that no longer tolerate the node's NoExecute taints; the node still stops them gracefully."""
        uid = node["metadata"]["uid"]
        taints = [each for each in dig(node, ("spec", "taints")) or [] if each["effect"] == "NoExecute"]
        keys = {(uid, each["key"]) for each in taints}
        self._tainted = {key: at for key, at in self._tainted.items() if key[0] != uid or key in keys}
        for key in keys:
            self._tainted.setdefault(key, self._clock())
        if not taints:
            return
        tainted_seconds = self._clock() - min(self._tainted[key] for key in keys)
        for pod in self._pods_on(node):
            limit = seconds_tolerated(pod["spec"].get("tolerations") or [], taints)
            if not is_being_deleted(pod) and tainted_seconds >= limit:
                log.warning("evicting pod %s from node %s", pod["metadata"]["name"], node["metadata"]["name"])
                message = "Taint manager: deleting due to NoExecute taint"
                self._set_condition(pod, disruption_target("DeletionByTaintManager", message))
                self._api.delete(self._target("pods", pod), {})

    def _pods_on(self, node: Json) -> Iterator[Json]:
        name = node["metadata"]["name"]
        return (pod for pod in self._api.store.items(PODS) if pod["spec"].get("nodeName") == name)

    def _set_condition(self, pod: Json, condition: Json) -> None:
        self._api.patch_status(self._target("pods", pod), {"conditions": [condition]}, CONTROLLER)

    def _target(self, plural: str, document: Json) -> RequestTarget:
        return RequestTarget.of(self._api.registry.built_in("", plural), document)


def _taints_of(node: Json, ready: str) -> Iterator[tuple[str, str]]:
    """Keys and effects (`nodeConditionToTaintKeyStatusMap`)."""
    if dig(node, ("spec", "unschedulable")):
        yield UNSCHEDULABLE, "NoSchedule"
    if ready != "True":
        key = UNREACHABLE if ready == "Unknown" else NOT_READY
        yield key, "NoSchedule"
        yield key, "NoExecute"


def _new_taint(key: str, effect: str) -> Json:
    return {"key": key, "effect": effect, "timeAdded": now()}
