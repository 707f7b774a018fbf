"""Whether a pod fits this node: gates, resources, cordon, node selector, taints. Pure; used by `scheduler.py`.

Follows the plugins NodeUnschedulable, NodeName, NodeAffinity and TaintToleration of kube-scheduler. Node affinity
beyond `nodeSelector` is not evaluated: with one node there is nothing to choose.
"""

from collections.abc import Iterable

from darkroom_contract.names import GROUP
from darkroom_local.kube.client import Json
from darkroom_local.node.settings import GPU_RESOURCE

COMMON_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage", GPU_RESOURCE})
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
SCHEDULING_EFFECTS = ("NoSchedule", "NoExecute")


def needs_scheduling(pod: Json) -> bool:
    """Whether a scheduler would bind it now: pending, without a node, gates or a deletion timestamp."""
    metadata, spec = pod["metadata"], pod["spec"]
    excluded = spec.get("nodeName") or spec.get("schedulingGates") or "deletionTimestamp" in metadata
    return not excluded and (pod.get("status") or {}).get("phase") == "Pending"


def missing_resources(pod: Json) -> list[str]:
    """Requested extended resources that this node does not have, or has too few of."""
    missing: set[str] = set()
    for container in pod["spec"].get("containers") or []:
        resources = container.get("resources") or {}
        requested = (resources.get("limits") or {}) | (resources.get("requests") or {})
        missing.update(name for name in requested if name not in COMMON_RESOURCES)
        if int(requested.get(GPU_RESOURCE, 0)) > 1:
            missing.add(f"{GPU_RESOURCE} ({requested[GPU_RESOURCE]} requested, 1 available)")
    return sorted(missing)


def unschedulable_reason(pod: Json, node: Json) -> str:
    """Why a runner pod can't be bound to the node; empty when it can.

    Ignores Darkroom's own taints, which keep only other pods away.
    """
    spec, tolerations = node.get("spec") or {}, pod["spec"].get("tolerations") or []
    cordon = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if spec.get("unschedulable") and not tolerates(tolerations, cordon):
        return "the node is cordoned (kubectl uncordon)"
    labels = node["metadata"].get("labels") or {}
    selector = pod["spec"].get("nodeSelector") or {}
    missing = [f"{key}={value}" for key, value in sorted(selector.items()) if labels.get(key) != value]
    if missing:
        return f"the node has no label {', '.join(missing)}"
    for taint in spec.get("taints") or []:
        applies = taint["effect"] in SCHEDULING_EFFECTS and not taint["key"].startswith(f"{GROUP}/")
        if applies and not tolerates(tolerations, taint):
            return f"the node has the taint {taint['key']}:{taint['effect']}, which the pod does not tolerate"
    return ""


def tolerates(tolerations: Iterable[Json], taint: Json) -> bool:
    """Whether one of the tolerations matches the taint (`Toleration.ToleratesTaint` of k8s.io/api)."""
    return any(matches(each, taint) for each in tolerations)


def matches(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
