"""Whether a pod may be put on this node: the node's own state beside what the pod selects and tolerates. Pure.

Used by `binder.py`, in the words of Kubernetes' scheduler plugins NodeUnschedulable, NodeName, NodeAffinity and
TaintToleration. Required node affinity beyond `nodeSelector` is not read: with one node there is nothing to choose.
"""

from collections.abc import Iterable

from darkroom_contract.names import GROUP
from darkroom_local.kube.client import Json

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
HOLDING_EFFECTS = ("NoSchedule", "NoExecute")


def unschedulable_reason(pod: Json, node: Json) -> str:
    """Why a scheduler would not put a runner's pod on the node, or nothing.

    Taints of Darkroom's own keep other people's pods away, and no runner.
    """
    spec, tolerations = node.get("spec") or {}, pod["spec"].get("tolerations") or []
    cordon = {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if spec.get("unschedulable") and not tolerates(tolerations, cordon):
        return "the node is cordoned (kubectl uncordon)"
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    missing = [f"{key}={value}" for key, value in sorted(wanted.items()) if labels.get(key) != value]
    if missing:
        return f"the node has no label {', '.join(missing)}"
    for taint in spec.get("taints") or []:
        holds = taint["effect"] in HOLDING_EFFECTS and not taint["key"].startswith(f"{GROUP}/")
        if holds and not tolerates(tolerations, taint):
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
