"""ResourceQuotas: limit the number of objects in a namespace.

The objects themselves are counted on every request, in the same step as the write, so two concurrent requests cannot
both take the last free place. https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from datetime import UTC, datetime, timedelta

from darkroom_local.apiserver.apimachinery.errors import forbidden
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig
from darkroom_local.apiserver.resources.resource import PODS, QUOTAS, Resource
from darkroom_local.apiserver.storage.store import Store
from darkroom_local.apiserver.validation.pods import TERMINAL_PHASES
from darkroom_local.apiserver.validation.resource_quotas import counted_collection, matches_scope, scope_terms


def admit(store: Store, resource: Resource, document: Json) -> None:
    """Raises 403 if a new object exceeds a quota of its namespace."""
    metadata = document["metadata"]
    for quota in store.items(QUOTAS, metadata.get("namespace", "")):
        hard = (quota.get("spec") or {}).get("hard") or {}
        touched = sorted(name for name in hard if _counts(name, resource.collection, quota, document))
        used = {name: _used(store, quota, name) for name in touched}
        exceeded = [name for name in touched if (used[name] or 0) + 1 > int(hard[name])]
        if exceeded:
            listed = ", ".join(
                f"{word}: {','.join(f'{name}={values[name]}' for name in exceeded)}"
                for word, values in (("requested", dict.fromkeys(exceeded, 1)), ("used", used), ("limited", hard))
            )
            why = f"exceeded quota: {quota['metadata']['name']}, {listed}"
            raise forbidden(resource.plural, resource.group, metadata.get("name", ""), why)


def is_affected_by(quota: Json, collection: str) -> bool:
    """Whether a write to this collection may change the quota's status."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    return collection == QUOTAS or any(counted_collection(name) == collection for name in hard)


def quota_status(store: Store, quota: Json) -> Json:
    """The current status of a quota."""
    hard = dict((quota.get("spec") or {}).get("hard") or {})
    used = {name: str(count) for name in hard if (count := _used(store, quota, name)) is not None}
    return {"hard": hard, "used": used}


def _used(store: Store, quota: Json, name: str) -> int | None:
    """The number of objects that a limit counts; None for a limit that isn't enforced."""
    collection = counted_collection(name)
    if not collection:
        return None
    found = store.items(collection, quota["metadata"]["namespace"])
    return sum(_counts(name, collection, quota, each) for each in found)


def _counts(name: str, collection: str, quota: Json, document: Json) -> bool:
    """Whether a limit of a quota counts this object.

    `pods` counts pods that may still run, `count/pods` all stored ones, like PodUsageFunc of Kubernetes.
    """
    if counted_collection(name) != collection:
        return False
    terms = list(scope_terms(quota.get("spec") or {}))
    if collection != PODS:
        return not terms
    return (name != "pods" or _may_run(document)) and all(matches_scope(term, document) for term in terms)


def _may_run(pod: Json) -> bool:
    """Neither terminal nor past its grace period (QuotaV1Pod): pods of a lost node must not fill the quota forever."""
    if dig(pod, ("status", "phase")) in TERMINAL_PHASES:
        return False
    metadata = pod["metadata"]
    if "deletionTimestamp" not in metadata:
        return True
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return datetime.now(UTC) <= datetime.fromisoformat(metadata["deletionTimestamp"]) + grace
