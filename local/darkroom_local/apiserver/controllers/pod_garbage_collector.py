"""Removes pods whose node is no more, as Kubernetes' pod garbage collector does: what `kubectl delete node` leads to.

Called by `node_lifecycle.py` in each of its rounds. Source: pkg/controller/podgc of Kubernetes 1.36.
"""

import logging
from collections.abc import Callable

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import Json, now
from darkroom_local.apiserver.patching.patches import STRATEGIC
from darkroom_local.apiserver.registry.resource_api import RequestTarget, ResourceApi, WriteOptions
from darkroom_local.apiserver.resources.registry import Resource
from darkroom_local.apiserver.storage.store import StoreConflictError

log = logging.getLogger(__name__)

QUARANTINE_SECONDS = 40.0
"""How long a node must be gone: it may be about to register anew."""
TERMINAL = ("Succeeded", "Failed")
ORPHANED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}


class PodGarbageCollector:
    """Pods of nodes that are gone."""

    def __init__(self, api: ResourceApi, clock: Callable[[], float]) -> None:
        self._api, self._clock = api, clock
        self._gone: dict[str, float] = {}
        """Names of nodes that pods are bound to and that are not there, and since when."""

    def sync(self) -> None:
        """One round."""
        nodes = {node["metadata"]["name"] for node in self._api.store.items("/nodes")}
        bound = [pod for pod in self._api.store.items("/pods") if pod["spec"].get("nodeName")]
        orphans = [pod for pod in bound if pod["spec"]["nodeName"] not in nodes]
        gone = {pod["spec"]["nodeName"] for pod in orphans}
        self._gone = {name: self._gone.get(name, self._clock()) for name in gone}
        for pod in orphans:
            if self._clock() - self._gone[pod["spec"]["nodeName"]] > QUARANTINE_SECONDS:
                self._remove(pod)

    def _remove(self, pod: Json) -> None:
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        log.warning("pod %s is removed: its node %s is no more", name, node)
        target = RequestTarget.of(self._pods(), pod)
        try:
            if pod["status"].get("phase") not in TERMINAL:
                status = {"phase": "Failed", "conditions": [ORPHANED | {"lastTransitionTime": now()}]}
                target = RequestTarget(target.resource, target.namespace, target.name, "status")
                self._api.patch(target, STRATEGIC, {"status": status}, WriteOptions(manager="kube-controller-manager"))
            self._api.delete(target, {"gracePeriodSeconds": 0})
        except (StatusError, StoreConflictError) as error:
            log.warning("pod %s: %s; looking again", name, error)

    def _pods(self) -> Resource:
        found = self._api.registry.find("", "v1", "pods")
        assert found is not None
        return found
