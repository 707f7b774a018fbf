"""Operations on pods: grace period, binding, disruption condition, and the target of a log request. Pure.

Source: pkg/registry/core/pod of Kubernetes.
"""

from darkroom_local.apiserver.apimachinery.errors import bad_request, conflict
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, dig, now
from darkroom_local.apiserver.validation.pods import DEFAULT_GRACE_SECONDS, INIT, TERMINAL_PHASES


def grace_seconds(document: Json, requested: int | None) -> int:
    """The grace period of a pod's deletion: zero for a pod that runs on no node."""
    if not dig(document, ("spec", "nodeName")) or dig(document, ("status", "phase")) in TERMINAL_PHASES:
        return 0
    if requested is not None:
        return requested
    default = dig(document, ("spec", "terminationGracePeriodSeconds"))
    return int(DEFAULT_GRACE_SECONDS if default is None else default)


def bind(document: Json, node: str) -> Json:
    """The pod, bound to a node. Raises 409 if it is already bound, has scheduling gates, or is being deleted."""
    name = document["metadata"]["name"]
    problem = _binding_problem(document)
    if problem:
        raise conflict("pods", "", name, problem)
    result: Json = clone(document)
    result["spec"]["nodeName"] = node
    others = [each for each in result["status"].get("conditions") or [] if each["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}
    result["status"]["conditions"] = [*others, scheduled]
    return result


def _binding_problem(document: Json) -> str:
    spec, name = document["spec"], document["metadata"]["name"]
    if spec.get("nodeName"):
        return f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    if spec.get("schedulingGates"):
        return f"pod {name} has non-empty .spec.schedulingGates"
    if "deletionTimestamp" in document["metadata"]:
        return f"pod {name} is being deleted, cannot be assigned to a host"
    return ""


def log_target(pod: Json, container: str) -> tuple[str, str]:
    """Node and container of a log request; the node is empty for an unbound pod. Raises 400."""
    names, init = ([each["name"] for each in dig(pod, ("spec", field)) or []] for field in ("containers", INIT))
    name = pod["metadata"]["name"]
    if not container and len(names) > 1:
        others = f" or one of the init containers: [{' '.join(init)}]" if init else ""
        choice = f"choose one of: [{' '.join(names)}]{others}"
        raise bad_request(f"a container name must be specified for pod {name}, {choice}")
    chosen = container or names[0]
    if chosen not in (*names, *init):
        raise bad_request(f"container {chosen} is not valid for pod {name}")
    return dig(pod, ("spec", "nodeName")) or "", chosen


def disruption_target(reason: str, message: str) -> Json:
    """The condition of a pod that the control plane is about to delete."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    return condition | {"lastTransitionTime": now()}
