"""Defaults and validation of pods. Pure."""

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden_value, required_value, unsupported_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone
from darkroom_local.apiserver.validation import downward_api

TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})
DEFAULT_GRACE_SECONDS = 30
INIT = "initContainers"
RESTART_POLICIES = ("Always", "Never", "OnFailure")
MUTABLE = ("activeDeadlineSeconds", "tolerations", "schedulingGates", "terminationGracePeriodSeconds")
MUTABILITY_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`, `spec.activeDeadlineSeconds`, "
    "`spec.tolerations` (only additions to existing tolerations), `spec.schedulingGates` (only removals)"
)


def set_defaults(document: Json) -> None:
    """Set defaults and the initial status, in place."""
    spec = document.setdefault("spec", {})
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if not spec.get("schedulingGates"):
        spec.pop("schedulingGates", None)
    for container in containers_of(spec):
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "IfNotPresent")
        container.setdefault("resources", {})
    downward_api.set_defaults(spec)
    document.setdefault("status", _initial_status(spec))


def containers_of(spec: Json) -> list[Json]:
    """All containers, the init containers last."""
    return [*(spec.get("containers") or []), *(spec.get(INIT) or [])]


def _initial_status(spec: Json) -> Json:
    status: Json = {"phase": "Pending", "qosClass": "BestEffort"}
    if spec.get("schedulingGates"):
        gated = "Scheduling is blocked due to non-empty scheduling gates"
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": gated}
        ]
    return status


def validate(document: Json, old: Json | None) -> list[Cause]:
    """Errors of a pod, or of a change to one."""
    spec = document["spec"]
    causes = [] if spec.get("containers") else [required_value("spec.containers")]
    causes += _container_causes(spec) + (downward_api.validate(spec) if old is None else [])
    if spec["restartPolicy"] not in RESTART_POLICIES:
        causes.append(unsupported_value("spec.restartPolicy", spec["restartPolicy"], RESTART_POLICIES))
    if old is None and spec.get("nodeName") and spec.get("schedulingGates"):
        causes.append(forbidden_value("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    if old is not None and not causes:
        causes += _change_causes(spec, old["spec"])
    return causes


def _container_causes(spec: Json) -> list[Cause]:
    """Every container has a unique name and an image."""
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
    if _immutable_part(spec) != _immutable_part(old):
        return [forbidden_value("spec", MUTABILITY_RULE)]
    gates = [gate["name"] for gate in spec.get("schedulingGates") or []]
    known = [gate["name"] for gate in old.get("schedulingGates") or []]
    added = [gate for gate in gates if gate not in known]
    return (
        [forbidden_value("spec.schedulingGates", f"only deletion is allowed, but found new scheduling gates {added}")]
        if added
        else []
    )


def _immutable_part(spec: Json) -> Json:
    """The immutable part of a spec."""
    kept: Json = clone({key: value for key, value in spec.items() if key not in MUTABLE})
    for container in containers_of(kept):
        container.pop("image", None)
    return kept
