"""Tolerations: the defaults of new pods, and how long a pod tolerates a node's taints. Pure.

Source: plugin/pkg/admission/defaulttolerationseconds and pkg/controller/tainteviction of Kubernetes 1.36.
"""

from collections.abc import Iterable

from darkroom_local.apiserver.apimachinery.unstructured import Json

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
DEFAULT_SECONDS = 300
"""How long a pod tolerates a node that is not ready or unreachable, by default."""


def add_defaults(pod: Json) -> None:
    """Add the default tolerations of a node that is not ready or unreachable, in place."""
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in (NOT_READY, UNREACHABLE):
        taint = {"key": key, "effect": "NoExecute"}
        if not any(_matches_key_and_effect(each, taint) for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": DEFAULT_SECONDS}
            )


def seconds_tolerated(tolerations: Iterable[Json], taints: Iterable[Json]) -> float:
    """How long a pod tolerates these taints: 0 if it does not tolerate one, infinite if no toleration has a limit."""
    used = []
    for taint in taints:
        matching = [each for each in tolerations if _matches(each, taint)]
        if not matching:
            return 0.0
        used += matching
    limits = [float(each["tolerationSeconds"]) for each in used if each.get("tolerationSeconds") is not None]
    return max(0.0, min(limits, default=float("inf")))


def _matches_key_and_effect(toleration: Json, taint: Json) -> bool:
    """Whether key and effect match, whatever the value."""
    return toleration.get("key") in (None, "", taint["key"]) and toleration.get("effect") in (None, "", taint["effect"])


def _matches(toleration: Json, taint: Json) -> bool:
    if not _matches_key_and_effect(toleration, taint):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
