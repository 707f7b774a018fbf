"""What stands between a valid new object and its being kept: priorities, tolerations, quotas. Called by `verbs.py`.

In the order of Kubernetes' own plugins: a quota must see the class that a pod is given.
"""

from darkroom_local.apiserver import priorities, quotas, tolerations
from darkroom_local.apiserver.documents import Json
from darkroom_local.apiserver.registry import Resource
from darkroom_local.apiserver.store import Store


def admit(store: Store, resource: Resource, document: Json) -> None:
    """Complete a new object, in place. Raises 403."""
    if resource.collection == quotas.PODS:
        priorities.prioritize(store, document)
        tolerations.add_defaults(document)
    quotas.admit(store, resource, document)


def recount(store: Store, resource: Resource, written: Json) -> None:
    """After a write: bring the status of the namespace's quotas up to date, where it has changed."""
    namespace = written["metadata"].get("namespace", "")
    for quota in store.items(quotas.QUOTAS, namespace):
        if not quotas.concerns(quota, resource.collection):
            continue
        status = quotas.counted(store, quota)
        if quota.get("status") != status:
            store.replace(quotas.QUOTAS, quota | {"status": status}, quota["metadata"]["resourceVersion"])
