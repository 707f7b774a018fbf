"""PriorityClasses: the priority of a new pod, and what a class may not be. Called by `admission.py` and objects.

As the Priority admission plugin of Kubernetes has it.
https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden, forbidden_value, invalid_value
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.storage.store import Store

CLASSES = "scheduling.k8s.io/priorityclasses"
SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Classes that are there without being written."""
HIGHEST = 1_000_000_000
"""Of those that people make."""
DEFAULT_POLICY = "PreemptLowerPriority"


def set_priority(store: Store, pod: Json) -> None:
    """Set priority and preemption policy, in place. Raises 403 for a class that there is none of."""
    spec, name = pod["spec"], pod["metadata"].get("name", "")
    if not spec.get("priorityClassName") and (usual := _global_default(store)):
        spec["priorityClassName"] = usual["metadata"]["name"]
    wanted = spec.get("priorityClassName", "")
    found = store.get(CLASSES, "", wanted)
    if wanted and found is None and wanted not in SYSTEM:
        raise forbidden("pods", "", name, f"no PriorityClass with name {wanted} was found")
    priority = found["value"] if found else SYSTEM.get(wanted, 0)
    if spec.get("priority") not in (None, priority):
        why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
        raise forbidden(
            "pods",
            "",
            name,
            f"{why}priority admission controller computed {priority} from the given PriorityClass name",
        )
    spec["priority"] = priority
    spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy", DEFAULT_POLICY))


def keep_priority(pod: Json, old: Json) -> None:
    """Who writes a pod anew without the priority that it was given does not mean to take it away. In place."""
    for field in ("priority", "preemptionPolicy"):
        if field in old["spec"] and isinstance(pod.get("spec"), dict):
            pod["spec"].setdefault(field, old["spec"][field])


def set_defaults(document: Json) -> None:
    document.setdefault("value", 0)
    document.setdefault("preemptionPolicy", DEFAULT_POLICY)


def check(document: Json, old: Json | None) -> list[Cause]:
    name, value = document["metadata"].get("name", ""), document["value"]
    causes = []
    if value > HIGHEST:
        causes.append(forbidden_value("value", f"maximum allowed value of a user defined priority is {HIGHEST}"))
    if name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only"
        causes.append(forbidden_value("metadata.name", why))
    if old is not None and value != old["value"]:
        causes.append(forbidden_value("value", "may not be changed in an update."))
    if old is not None and document["preemptionPolicy"] != old["preemptionPolicy"]:
        causes.append(invalid_value("preemptionPolicy", document["preemptionPolicy"], "field is immutable"))
    return causes


def _global_default(store: Store) -> Json | None:
    """The class of pods that name none, the lowest if several say so."""
    marked = [each for each in store.items(CLASSES) if each.get("globalDefault")]
    return min(marked, key=lambda each: int(each["value"]), default=None)
