"""ResourceQuotas: how many objects of a kind a namespace may hold. Called by `admission.py` and verbs.

Counted are pods (with scopes) and every `count/KIND.GROUP`; of CPU, memory and storage only the limits are shown.
Everything is counted from the objects themselves at each question, in the same step as the write that asks, so that
two who come at once can't both have the last place. https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden, invalid_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig
from darkroom_local.apiserver.resources.registry import Resource
from darkroom_local.apiserver.storage.store import Store
from darkroom_local.apiserver.validation import pods

QUOTAS, PODS = "/resourcequotas", "/pods"
CORE = ("configmaps", "persistentvolumeclaims", "resourcequotas", "secrets", "services")
"""Kinds whose number may be limited under their bare name too. Of pods that means something else: see `_counts`."""
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
Matches = Callable[[Json], bool]


def admit(store: Store, resource: Resource, document: Json) -> None:
    """Raises 403 when a new object is one more than a quota of its namespace allows."""
    metadata = document["metadata"]
    for quota in store.items(QUOTAS, metadata.get("namespace", "")):
        hard = (quota.get("spec") or {}).get("hard") or {}
        touched = sorted(name for name in hard if _counts(name, resource.collection, quota, document))
        used = {name: _used(store, quota, name) for name in touched}
        exceeded = [name for name in touched if (used[name] or 0) + 1 > int(hard[name])]
        if exceeded:
            told = ", ".join(
                f"{word}: {','.join(f'{name}={values[name]}' for name in exceeded)}"
                for word, values in (("requested", dict.fromkeys(exceeded, 1)), ("used", used), ("limited", hard))
            )
            why = f"exceeded quota: {quota['metadata']['name']}, {told}"
            raise forbidden(resource.plural, resource.group, metadata.get("name", ""), why)


def concerns(quota: Json, collection: str) -> bool:
    """Whether a write there may change what a quota counts."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    return collection == QUOTAS or any(_collection(name) == collection for name in hard)


def quota_status(store: Store, quota: Json) -> Json:
    """The status of a quota as things are."""
    hard = dict((quota.get("spec") or {}).get("hard") or {})
    used = {name: str(count) for name in hard if (count := _used(store, quota, name)) is not None}
    return {"hard": hard, "used": used}


def set_defaults(document: Json) -> None:
    """Quantities are texts, in place."""
    if hard := (document.get("spec") or {}).get("hard"):
        document["spec"]["hard"] = {name: str(value) for name, value in hard.items()}


def check(document: Json, old: Json | None) -> list[Cause]:
    spec = document.get("spec") or {}
    causes = [
        invalid_value(f"spec.hard[{name}]", value, "must be a whole number greater than or equal to 0")
        for name, value in (spec.get("hard") or {}).items()
        if _collection(name) and not value.isdecimal()
    ]
    for number, term in enumerate(_terms(spec)):
        if term.get("scopeName") not in SCOPES:
            causes.append(_unsupported(f"spec.scopes[{number}]", str(term.get("scopeName")), tuple(SCOPES)))
        if term.get("operator", "Exists") not in OPERATORS:
            field = f"spec.scopeSelector.matchExpressions[{number}].operator"
            causes.append(_unsupported(field, str(term.get("operator")), OPERATORS))
    return causes


def _unsupported(field: str, value: str, supported: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{each}"' for each in supported)
    return Cause(field, "FieldValueNotSupported", f'Unsupported value: "{value}": supported values: {listed}')


def _used(store: Store, quota: Json, name: str) -> int | None:
    """How many there are; None for what isn't counted here."""
    collection = _collection(name)
    if not collection:
        return None
    found = store.items(collection, quota["metadata"]["namespace"])
    return sum(_counts(name, collection, quota, each) for each in found)


def _counts(name: str, collection: str, quota: Json, document: Json) -> bool:
    """Whether an object is one of those that this limit of a quota counts.

    `pods` are those that may still run; `count/pods` are all that are stored, as in PodUsageFunc of Kubernetes.
    """
    if _collection(name) != collection:
        return False
    terms = list(_terms(quota.get("spec") or {}))
    if collection != PODS:
        return not terms
    return (name != "pods" or _may_run(document)) and all(_matches(term, document) for term in terms)


def _collection(name: str) -> str:
    """Where the objects are whose number this limits, or nothing."""
    if name == "pods" or name in CORE:
        return f"/{name}"
    prefix, _, kind = name.partition("/")
    plural, _, group = kind.partition(".")
    return f"{group}/{plural}" if prefix == "count" and plural else ""


def _may_run(pod: Json) -> bool:
    """Not terminal, nor long overdue to be gone (QuotaV1Pod: a lost node's pods would fill the quota for ever)."""
    if dig(pod, ("status", "phase")) in pods.TERMINAL:
        return False
    metadata = pod["metadata"]
    if "deletionTimestamp" not in metadata:
        return True
    grace = timedelta(seconds=metadata.get("deletionGracePeriodSeconds") or 0)
    return datetime.now(UTC) <= datetime.fromisoformat(metadata["deletionTimestamp"]) + grace


def _terms(spec: Json) -> Iterator[Json]:
    """All that a pod must match."""
    yield from ({"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or [])
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or []


def _matches(term: Json, pod: Json) -> bool:
    if term["scopeName"] != "PriorityClass":
        return SCOPES[term["scopeName"]](pod)
    name, values = pod["spec"].get("priorityClassName", ""), term.get("values") or []
    match term.get("operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "DoesNotExist":
            return not name
        case _:
            return bool(name)


def _is_terminating(pod: Json) -> bool:
    """Has an end of its own, in the words of Kubernetes' quotas."""
    return pod["spec"].get("activeDeadlineSeconds") is not None


def _is_best_effort(pod: Json) -> bool:
    containers = [*(pod["spec"].get("containers") or []), *(pod["spec"].get("initContainers") or [])]
    asked = [(each.get("resources") or {}).get(kind) or {} for each in containers for kind in ("requests", "limits")]
    return not any(name in each for each in asked for name in ("cpu", "memory"))


SCOPES: dict[str, Matches] = {
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda pod: not _is_best_effort(pod),
    "NotTerminating": lambda pod: not _is_terminating(pod),
    "PriorityClass": lambda pod: bool(pod["spec"].get("priorityClassName")),
    "Terminating": _is_terminating,
}
