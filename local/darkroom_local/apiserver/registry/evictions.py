"""The `eviction` subresource of pods (`kubectl drain`), like pkg/registry/core/pod/storage/eviction.go.

PodDisruptionBudgets are not checked, since this server runs no controller for them.
"""

from darkroom_local.apiserver.apimachinery.errors import bad_request
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.registry.deletion import check_preconditions
from darkroom_local.apiserver.registry.pods import disruption_target
from darkroom_local.apiserver.registry.request import RequestTarget, WriteOptions
from darkroom_local.apiserver.registry.resource_api import ResourceApi


def evict(api: ResourceApi, target: RequestTarget, eviction: Json, delete_options: Json) -> None:
    """Set the pod's condition, then delete it with its grace period. Raises 400, 404 or 409."""
    if (eviction.get("metadata") or {}).get("name") != target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    pod = target.subresource_of("")
    check_preconditions(target.resource, api.get(pod), delete_options.get("preconditions") or {})
    if not delete_options.get("dryRun"):
        condition = disruption_target("EvictionByEvictionAPI", "Eviction API: evicting")
        api.patch_status(pod, {"conditions": [condition]}, WriteOptions(manager="kube-apiserver"))
        delete_options = delete_options | {"preconditions": None}  # Checked above, before the status changed the pod.
    api.delete(pod, delete_options)
