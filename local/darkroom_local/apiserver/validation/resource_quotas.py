"""Which objects a ResourceQuota counts, and the defaults and validation of quotas. Pure.

Pods (with scopes) and `count/KIND.GROUP` are counted. For CPU, memory and storage only the limits are stored.
"""

from collections.abc import Callable, Iterator

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, unsupported_value
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.validation.pods import containers_of

CORE = ("configmaps", "persistentvolumeclaims", "resourcequotas", "secrets", "services")
"""Kinds that a quota may also limit by their bare name. `pods` differs: see `admission/resource_quota.py`."""
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def set_defaults(document: Json) -> None:
    """Convert quantities to strings, in place."""
    if hard := (document.get("spec") or {}).get("hard"):
        document["spec"]["hard"] = {name: str(value) for name, value in hard.items()}


def validate(document: Json, old: Json | None) -> list[Cause]:
    spec = document.get("spec") or {}
    causes = [
        invalid_value(f"spec.hard[{name}]", value, "must be a whole number greater than or equal to 0")
        for name, value in (spec.get("hard") or {}).items()
        if counted_collection(name) and not value.isdecimal()
    ]
    for number, term in enumerate(scope_terms(spec)):
        if term.get("scopeName") not in SCOPES:
            causes.append(unsupported_value(f"spec.scopes[{number}]", str(term.get("scopeName")), SCOPES))
        if term.get("operator", "Exists") not in OPERATORS:
            field = f"spec.scopeSelector.matchExpressions[{number}].operator"
            causes.append(unsupported_value(field, str(term.get("operator")), OPERATORS))
    return causes


def counted_collection(name: str) -> str:
    """The collection whose objects this limit counts; empty for a limit that isn't enforced."""
    if name == "pods" or name in CORE:
        return f"/{name}"
    prefix, _, kind = name.partition("/")
    plural, _, group = kind.partition(".")
    return f"{group}/{plural}" if prefix == "count" and plural else ""


def scope_terms(spec: Json) -> Iterator[Json]:
    """The requirements that a pod must match to be counted."""
    yield from ({"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or [])
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or []


def matches_scope(term: Json, pod: Json) -> bool:
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
    """Kubernetes' scope `Terminating`: the pod has a deadline."""
    return pod["spec"].get("activeDeadlineSeconds") is not None


def _is_best_effort(pod: Json) -> bool:
    resources = [each.get("resources") or {} for each in containers_of(pod["spec"])]
    quantities = [each.get(kind) or {} for each in resources for kind in ("requests", "limits")]
    return not any(name in each for each in quantities for name in ("cpu", "memory"))


SCOPES: dict[str, Callable[[Json], bool]] = {
    "BestEffort": _is_best_effort,
    "NotBestEffort": lambda pod: not _is_best_effort(pod),
    "NotTerminating": lambda pod: not _is_terminating(pod),
    "PriorityClass": lambda pod: bool(pod["spec"].get("priorityClassName")),
    "Terminating": _is_terminating,
}
