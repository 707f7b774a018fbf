"""What stands between a valid new object and its being kept: priorities, tolerations, quotas. Called by `verbs.py`.

In the order of Kubernetes' own plugins: a quota must see the class that a pod is given.
"""

from darkroom_local.apiserver.admission import priority, resource_quota, tolerations
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.registry import Resource
from darkroom_local.apiserver.storage.store import Store


def admit(store: Store, resource: Resource, document: Json) -> None:
    """Complete a new object, in place. Raises 403."""
    if resource.collection == resource_quota.PODS:
        priority.set_priority(store, document)
        tolerations.add_defaults(document)
    resource_quota.admit(store, resource, document)


def update_quota_status(store: Store, resource: Resource, written: Json) -> None:
    """After a write: bring the status of the namespace's quotas up to date, where it has changed."""
    namespace = written["metadata"].get("namespace", "")
    for quota in store.items(resource_quota.QUOTAS, namespace):
        if not resource_quota.concerns(quota, resource.collection):
            continue
        status = resource_quota.quota_status(store, quota)
        if quota.get("status") != status:
            store.replace(resource_quota.QUOTAS, quota | {"status": status}, quota["metadata"]["resourceVersion"])
