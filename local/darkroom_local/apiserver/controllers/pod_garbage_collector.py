"""Deletes pods whose node no longer exists (`kubectl delete node`). Source: pkg/controller/podgc of Kubernetes 1.36.

The node lifecycle controller calls it in each of its rounds.
"""

import logging
from collections.abc import Callable

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.registry.pods import disruption_target
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.registry.resource_api import ResourceApi
from darkroom_local.apiserver.resources.resource import NODES, PODS
from darkroom_local.apiserver.storage.store import StoreConflictError
from darkroom_local.apiserver.validation.pods import TERMINAL_PHASES

log = logging.getLogger(__name__)

QUARANTINE_SECONDS = 40.0
"""How long a node must be missing: it may register again."""


class PodGarbageCollector:
    """Tracks missing nodes, and deletes their pods after the quarantine."""

    def __init__(self, api: ResourceApi, clock: Callable[[], float]) -> None:
        self._api, self._clock = api, clock
        self._missing: dict[str, float] = {}
        """Names of missing nodes that have pods, and since when."""

    def sync(self) -> None:
        """One round."""
        nodes = {node["metadata"]["name"] for node in self._api.store.items(NODES)}
        bound = [pod for pod in self._api.store.items(PODS) if pod["spec"].get("nodeName")]
        orphans = [pod for pod in bound if pod["spec"]["nodeName"] not in nodes]
        missing = {pod["spec"]["nodeName"] for pod in orphans}
        self._missing = {name: self._missing.get(name, self._clock()) for name in missing}
        for pod in orphans:
            if self._clock() - self._missing[pod["spec"]["nodeName"]] > QUARANTINE_SECONDS:
                self._remove(pod)

    def _remove(self, pod: Json) -> None:
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        log.warning("deleting pod %s: its node %s no longer exists", name, node)
        target = RequestTarget.of(self._api.registry.built_in("", "pods"), pod)
        try:
            if pod["status"].get("phase") not in TERMINAL_PHASES:
                condition = disruption_target("DeletionByPodGC", "PodGC: node no longer exists")
                status = {"phase": "Failed", "conditions": [condition]}
                self._api.patch_status(target, status, WriteOptions(manager="kube-controller-manager"))
            self._api.delete(target, {"gracePeriodSeconds": 0})
        except (StatusError, StoreConflictError) as error:
            log.warning("pod %s: %s; retrying", name, error)
