"""What a control plane does about nodes: notices those that are silent, taints them, and evicts their pods.

Called by `routes.py` for as long as the server runs, woken by every change of a node. In the shape of Kubernetes 1.36's
node-lifecycle and taint-eviction controllers (pkg/controller/nodelifecycle, pkg/controller/tainteviction): the Node
gets `Ready=Unknown` with the reason NodeStatusUnknown; its pods get `Ready=False` and *no reason*, and everything else
in their statuses stays as the node left it. Times are measured by this process's own clock, from when it saw a change:
what the clocks of nodes say does not matter, and a server that was restarted gives every node a whole term again.
Only nodes that have a Lease in kube-node-lease are watched for silence.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from darkroom_local.apiserver.admission.tolerations import NOT_READY, UNREACHABLE, UNSCHEDULABLE, seconds_tolerated
from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig, is_being_deleted, now
from darkroom_local.apiserver.controllers.pod_garbage_collector import PodGarbageCollector
from darkroom_local.apiserver.patching.patches import STRATEGIC
from darkroom_local.apiserver.registry.resource_api import RequestTarget, ResourceApi, WriteOptions
from darkroom_local.apiserver.resources.registry import Resource
from darkroom_local.apiserver.storage.store import Event, StoreConflictError

log = logging.getLogger(__name__)

GRACE_SECONDS = 50.0
"""How long a node may be silent (`--node-monitor-grace-period` of kube-controller-manager 1.36)."""
PERIOD_SECONDS = 5.0
"""How often silence is looked for, at most (`--node-monitor-period`)."""
LEASES, LEASE_NAMESPACE = "coordination.k8s.io/leases", "kube-node-lease"
OWN_TAINTS = (NOT_READY, UNREACHABLE, UNSCHEDULABLE)
CONTROLLER = WriteOptions(manager="kube-controller-manager")
SILENT = {"status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


class NodeLifecycle:
    """One task that looks at all nodes, again and again."""

    def __init__(
        self, api: ResourceApi, grace_seconds: float = GRACE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api, self._grace_seconds, self._clock = api, grace_seconds, clock
        self._heard: dict[str, tuple[tuple[str, str], float]] = {}
        """By a node's uid: its last signs of life, and when they were new."""
        self._tainted: dict[tuple[str, str], float] = {}
        """By node's uid and taint's key: since when its pods may be evicted."""
        self._marked: set[str] = set()
        """Uids of nodes whose pods were marked since they stopped being ready."""
        self._orphans = PodGarbageCollector(api, clock)
        self._changed = asyncio.Event()
        api.store.listen(self._notice)

    async def run(self) -> None:
        period = min(PERIOD_SECONDS, self._grace_seconds / 5)
        while True:
            self._changed.clear()
            self.sync()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), period)

    def sync(self) -> None:
        """One round. What fails, because somebody else wrote meanwhile, is done in the next."""
        nodes = self._api.store.items("/nodes")
        self._forget({node["metadata"]["uid"] for node in nodes})
        for node in nodes:
            try:
                self._sync_node(node)
            except (StatusError, StoreConflictError) as error:
                log.warning("node %s: %s; looking again", node["metadata"]["name"], error)
        self._orphans.sync()

    def _notice(self, event: Event) -> None:
        if event.collection == "/nodes":
            self._changed.set()

    def _forget(self, uids: set[str]) -> None:
        """Of nodes that are gone."""
        self._heard = {uid: heard for uid, heard in self._heard.items() if uid in uids}
        self._tainted = {key: since for key, since in self._tainted.items() if key[0] in uids}
        self._marked &= uids

    def _sync_node(self, node: Json) -> None:
        ready = _ready_condition(node)
        if ready is None:  # It is about to say for the first time how it is.
            self._taint(node, "True")
            return
        if ready["status"] != "Unknown" and self._is_silent(node, ready):
            ready = ready | SILENT | {"lastTransitionTime": now()}
            log.warning("node %s is silent", node["metadata"]["name"])
            node = self._write(node, {"status": {"conditions": [ready]}}, "status")
        node = self._taint(node, ready["status"])
        self._mark_pods_not_ready(node, ready["status"])
        self._evict(node)

    def _is_silent(self, node: Json, ready: Json) -> bool:
        uid, name = node["metadata"]["uid"], node["metadata"]["name"]
        lease = self._api.store.get(LEASES, LEASE_NAMESPACE, name)
        if lease is None:
            return False
        signs = (str(dig(lease, ("spec", "renewTime"))), str(ready.get("lastHeartbeatTime")))
        before, since = self._heard.get(uid, (None, 0.0))
        if signs != before:
            since = self._clock()
            self._heard[uid] = (signs, since)
        return self._clock() - since > self._grace_seconds

    def _taint(self, node: Json, ready: str) -> Json:
        """Give the node the taints of its state, and no others of ours."""
        present = dig(node, ("spec", "taints")) or []
        kept = [each for each in present if each["key"] not in OWN_TAINTS]
        known = {(each["key"], each["effect"]): each for each in present}
        wanted = [known.get((key, effect), _new_taint(key, effect)) for key, effect in _taints_of(node, ready)]
        if len(kept + wanted) == len(present) and all(each in present for each in wanted):
            return node
        return self._write(node, {"spec": {"taints": [*kept, *wanted] or None}})

    def _mark_pods_not_ready(self, node: Json, ready: str) -> None:
        """Once, when the node stops being ready: a node that is alive takes it back."""
        uid = node["metadata"]["uid"]
        if ready == "True":
            self._marked.discard(uid)
        elif uid not in self._marked:
            for pod in self._pods_on(node):
                condition = _ready_condition(pod)
                if condition is not None and condition["status"] == "True":
                    unready = condition | {"status": "False", "lastTransitionTime": now()}
                    self._patch_pod(pod, unready)
            self._marked.add(uid)

    def _evict(self, node: Json) -> None:
        """Delete the pods that tolerate the node's NoExecute taints no longer; they stay until it lets them go."""
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
                log.warning("pod %s is evicted from node %s", pod["metadata"]["name"], node["metadata"]["name"])
                self._patch_pod(pod, EVICTED | {"lastTransitionTime": now()})
                self._api.delete(RequestTarget.of(self._resource("pods"), pod), {})

    def _pods_on(self, node: Json) -> Iterator[Json]:
        name = node["metadata"]["name"]
        return (pod for pod in self._api.store.items("/pods") if pod["spec"].get("nodeName") == name)

    def _patch_pod(self, pod: Json, condition: Json) -> None:
        self._patch(RequestTarget.of(self._resource("pods"), pod), {"status": {"conditions": [condition]}}, "status")

    def _write(self, node: Json, patch: Json, subresource: str = "") -> Json:
        return self._patch(RequestTarget.of(self._resource("nodes"), node), patch, subresource)

    def _patch(self, target: RequestTarget, patch: Json, subresource: str) -> Json:
        target = RequestTarget(target.resource, target.namespace, target.name, subresource)
        return self._api.patch(target, STRATEGIC, patch, CONTROLLER).document

    def _resource(self, plural: str) -> Resource:
        found = self._api.registry.find("", "v1", plural)
        assert found is not None
        return found


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


def _ready_condition(document: Json) -> Json | None:
    found = (each for each in dig(document, ("status", "conditions")) or [] if each.get("type") == "Ready")
    return next(found, None)
