"""The `eviction` subresource of pods (`kubectl drain`), as pkg/registry/core/pod/storage/eviction.go has it.

Called by `routes.py`. There is no controller of disruption budgets, and so no budget is asked.
"""

from darkroom_local.apiserver.apimachinery.errors import bad_request
from darkroom_local.apiserver.apimachinery.unstructured import Json, now
from darkroom_local.apiserver.patching.patches import STRATEGIC
from darkroom_local.apiserver.registry.deletion import check_preconditions
from darkroom_local.apiserver.registry.resource_api import RequestTarget, ResourceApi, WriteOptions

EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}
"""The condition that an evicted pod gets before it is deleted."""


def evict(api: ResourceApi, target: RequestTarget, eviction: Json, delete_options: Json) -> None:
    """Mark the pod and delete it with its grace period. Raises 400, 404 or 409."""
    if (eviction.get("metadata") or {}).get("name") != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    pod = RequestTarget(target.resource, target.namespace, target.name)
    check_preconditions(target.resource, api.get(pod), delete_options.get("preconditions") or {})
    if not delete_options.get("dryRun"):
        status = {"conditions": [EVICTED | {"lastTransitionTime": now()}]}
        marked = RequestTarget(target.resource, target.namespace, target.name, "status")
        api.patch(marked, STRATEGIC, {"status": status}, WriteOptions(manager="kube-apiserver"))
        delete_options = delete_options | {"preconditions": None}  # They held, before the mark changed the pod.
    api.delete(pod, delete_options)
