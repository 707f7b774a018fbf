"""Taints and tolerations: which pods may stay on a node, and for how long. Pure.

Used by `admission.py`, which gives every pod its default tolerations, and by `node_lifecycle.py`.
Source: plugin/pkg/admission/defaulttolerationseconds and pkg/controller/tainteviction of Kubernetes 1.36.
"""

from collections.abc import Iterable

from darkroom_local.apiserver.apimachinery.unstructured import Json

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
DEFAULT_SECONDS = 300
"""How long a pod stays on a node that is not ready or unreachable, unless it says something else."""


def add_defaults(pod: Json) -> None:
    """Tolerate a node that is not ready or unreachable for a while, in place."""
    tolerations = pod["spec"].setdefault("tolerations", [])
    for key in (NOT_READY, UNREACHABLE):
        taint = {"key": key, "effect": "NoExecute"}
        if not any(_concerns(each, taint) for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": DEFAULT_SECONDS}
            )


def seconds_tolerated(tolerations: Iterable[Json], taints: Iterable[Json]) -> float:
    """How long a pod may stay: 0 when a taint is not tolerated, and without end when none says how long."""
    used = []
    for taint in taints:
        matching = [each for each in tolerations if _matches(each, taint)]
        if not matching:
            return 0.0
        used += matching
    limits = [float(each["tolerationSeconds"]) for each in used if each.get("tolerationSeconds") is not None]
    return max(0.0, min(limits, default=float("inf")))


def _concerns(toleration: Json, taint: Json) -> bool:
    """Whether it speaks of the taint's key and effect at all."""
    return toleration.get("key") in (None, "", taint["key"]) and toleration.get("effect") in (None, "", taint["effect"])


def _matches(toleration: Json, taint: Json) -> bool:
    if not _concerns(toleration, taint):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
