"""Joins two partial pods as Kubernetes' strategic merge patch would: maps by their names, lists by the key of their
items. Pure; used by `pods.py`.

https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/ , with the `patchMergeKey`s
of https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ . Two lists without a key are put one
behind the other instead of one in the place of the other: neither side means to take away what the other has.
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


def merge(under: Json, over: Json) -> Json:
    """Both, and the latter where they differ. Its names and items come first."""
    joined = {name: _join(name, under[name], value) if name in under else value for name, value in over.items()}
    return joined | {name: value for name, value in under.items() if name not in over}


def _join(name: str, under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return merge(under, over)
    if isinstance(under, list) and isinstance(over, list):
        key = MERGE_KEYS.get(name)
        return [*under, *over] if key is None else _join_items(under, over, key)
    return over


def _join_items(under: list[Json], over: list[Json], key: str) -> list[Json]:
    """The last of several with one key stands, as in a pod's own `env`."""
    below = {each[key]: each for each in under}
    joined = [merge(below.pop(each[key], {}), each) for each in over]
    return [*joined, *below.values()]
