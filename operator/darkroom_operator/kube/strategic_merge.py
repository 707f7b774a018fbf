"""Strategic merge of two partial pods, as Kubernetes does it: maps by key, lists by the merge key of their items. Pure.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ , with the `patchMergeKey`s
of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ . Lists
without a merge key are concatenated rather than replaced: neither side may remove the items of the other.
"""

from typing import Any

from darkroom_operator.kube.objects import Json

MERGE_KEYS = {
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}


def merge(base: Json, override: Json) -> Json:
    """Both objects; `override` wins where they differ, and its keys and items come first."""
    merged = {key: _merge_value(key, base[key], value) if key in base else value for key, value in override.items()}
    return merged | {key: value for key, value in base.items() if key not in override}


def _merge_value(name: str, base: Any, override: Any) -> Any:
    if isinstance(base, dict) and isinstance(override, dict):
        return merge(base, override)
    if isinstance(base, list) and isinstance(override, list):
        merge_key = MERGE_KEYS.get(name)
        return [*base, *override] if merge_key is None else _merge_items(base, override, merge_key)
    return override


def _merge_items(base: list[Json], override: list[Json], merge_key: str) -> list[Json]:
    """Of several base items with the same key the last one counts, as in the `env` of a pod."""
    base_items = {item[merge_key]: item for item in base}
    merged = [merge(base_items.pop(item[merge_key], {}), item) for item in override]
    return [*merged, *base_items.values()]
