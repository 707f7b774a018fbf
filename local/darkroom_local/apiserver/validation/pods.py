"""What is special about pods: defaults, what may change, graceful deletion, binding. Used by objects and verbs."""

from darkroom_local.apiserver.apimachinery.errors import Cause, StatusError, conflict, forbidden_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, dig, now

TERMINAL = frozenset({"Succeeded", "Failed"})
DEFAULT_GRACE_SECONDS = 30
INIT = "initContainers"
RESTART_POLICIES = frozenset({"Always", "Never", "OnFailure"})
CHANGEABLE = ("activeDeadlineSeconds", "tolerations", "schedulingGates", "terminationGracePeriodSeconds")
RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`, `spec.activeDeadlineSeconds`, "
    "`spec.tolerations` (only additions to existing tolerations), `spec.schedulingGates` (only removals)"
)


def set_defaults(document: Json) -> None:
    """Defaults and the first status, in place."""
    spec = document.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if not spec.get("schedulingGates"):
        spec.pop("schedulingGates", None)
    for container in [*(spec.get("containers") or []), *(spec.get(INIT) or [])]:
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("resources", {})
    document.setdefault("status", _first_status(spec))


def _first_status(spec: Json) -> Json:
    status: Json = {"phase": "Pending", "qosClass": "BestEffort"}
    if spec.get("schedulingGates"):
        gated = "Scheduling is blocked due to non-empty scheduling gates"
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": gated}
        ]
    return status


def check(document: Json, old: Json | None) -> list[Cause]:
    """What is wrong with a pod, or with a change of one."""
    spec = document["spec"]
    causes = [] if spec.get("containers") else [required_value("spec.containers")]
    causes += _container_causes(spec)
    if spec["restartPolicy"] not in RESTART_POLICIES:
        text = f'Unsupported value: "{spec["restartPolicy"]}": supported values: "Always", "Never", "OnFailure"'
        causes.append(Cause("spec.restartPolicy", "FieldValueNotSupported", text))
    if old is None and spec.get("nodeName") and spec.get("schedulingGates"):
        causes.append(forbidden_value("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    if old is not None and not causes:
        causes += _change_causes(spec, old["spec"])
    return causes


def _container_causes(spec: Json) -> list[Cause]:
    """Every container has a name, which no other has, and an image."""
    causes, known = [], set[str]()
    for field in ("containers", INIT):
        for number, container in enumerate(spec.get(field) or []):
            path, name = f"spec.{field}[{number}]", container.get("name")
            causes += [required_value(f"{path}.{each}") for each in ("name", "image") if not container.get(each)]
            if name and name in known:
                causes.append(Cause(f"{path}.name", "FieldValueDuplicate", f'Duplicate value: "{name}"'))
            known.add(name)
    return causes


def _change_causes(spec: Json, old: Json) -> list[Cause]:
    if _frozen(spec) != _frozen(old):
        return [forbidden_value("spec", RULE)]
    gates = [gate["name"] for gate in spec.get("schedulingGates") or []]
    known = [gate["name"] for gate in old.get("schedulingGates") or []]
    added = [gate for gate in gates if gate not in known]
    return (
        [forbidden_value("spec.schedulingGates", f"only deletion is allowed, but found new scheduling gates {added}")]
        if added
        else []
    )


def _frozen(spec: Json) -> Json:
    """What may not change."""
    kept: Json = clone({key: value for key, value in spec.items() if key not in CHANGEABLE})
    for container in [*(kept.get("containers") or []), *(kept.get(INIT) or [])]:
        container.pop("image", None)
    return kept


def grace_seconds(document: Json, asked: int | None) -> int:
    """How long a pod may take to stop: none for one that runs nowhere."""
    if not dig(document, ("spec", "nodeName")) or dig(document, ("status", "phase")) in TERMINAL:
        return 0
    own = dig(document, ("spec", "terminationGracePeriodSeconds"))
    return asked if asked is not None else int(DEFAULT_GRACE_SECONDS if own is None else own)


def bound(document: Json, node: str) -> Json:
    """The pod on its node. Raises 409 when it is on one, is gated, or is on its way out."""
    name = document["metadata"]["name"]
    problem = _binding_problem(document)
    if problem:
        raise conflict("pods", "", name, problem)
    after: Json = clone(document)
    after["spec"]["nodeName"] = node
    others = [each for each in after["status"].get("conditions") or [] if each["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": now()}
    after["status"]["conditions"] = [*others, scheduled]
    return after


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
    """Node and container whose log is asked for; no node while the pod has none. Raises 400 as the API server does."""
    names, init = ([each["name"] for each in dig(pod, ("spec", field)) or []] for field in ("containers", INIT))
    name = pod["metadata"]["name"]
    if not container and len(names) > 1:
        others = f" or one of the init containers: [{' '.join(init)}]" if init else ""
        choice = f"choose one of: [{' '.join(names)}]{others}"
        raise StatusError(400, "BadRequest", f"a container name must be specified for pod {name}, {choice}")
    chosen = container or names[0]
    if chosen not in (*names, *init):
        raise StatusError(400, "BadRequest", f"container {chosen} is not valid for pod {name}")
    return dig(pod, ("spec", "nodeName")) or "", chosen
