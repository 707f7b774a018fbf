"""The admission chain: runs on every valid new object before it is stored.

The plugins run in the order of Kubernetes: a quota must see the priority class that a pod gets.
"""

from darkroom_local.apiserver.admission import priority, resource_quota, tolerations
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.resource import PODS, QUOTAS, Resource
from darkroom_local.apiserver.storage.store import Store


def admit(store: Store, resource: Resource, document: Json) -> None:
    """Complete a new object, in place. Raises 403."""
    if resource.collection == PODS:
        priority.set_priority(store, document)
        tolerations.add_defaults(document)
    resource_quota.admit(store, resource, document)


def update_quota_status(store: Store, resource: Resource, written: Json) -> None:
    """After a write: update the status of those quotas of the namespace that it changed."""
    namespace = written["metadata"].get("namespace", "")
    for quota in store.items(QUOTAS, namespace):
        if not resource_quota.is_affected_by(quota, resource.collection):
            continue
        status = resource_quota.quota_status(store, quota)
        if quota.get("status") != status:
            store.replace(QUOTAS, quota | {"status": status}, quota["metadata"]["resourceVersion"])
