"""The Priority admission plugin: sets the priority of a new pod from its PriorityClass.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from darkroom_local.apiserver.apimachinery.errors import forbidden
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.resource import PRIORITY_CLASSES
from darkroom_local.apiserver.storage.store import Store
from darkroom_local.apiserver.validation.priority_classes import DEFAULT_POLICY

SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""Classes that exist without being stored."""


def set_priority(store: Store, pod: Json) -> None:
    """Set priority and preemption policy, in place. Raises 403 for an unknown class."""
    spec, pod_name = pod["spec"], pod["metadata"].get("name", "")
    if not spec.get("priorityClassName") and (default := _global_default(store)):
        spec["priorityClassName"] = default["metadata"]["name"]
    name = spec.get("priorityClassName", "")
    found = store.get(PRIORITY_CLASSES, "", name)
    if name and found is None and name not in SYSTEM:
        raise forbidden("pods", "", pod_name, f"no PriorityClass with name {name} was found")
    priority = found["value"] if found else SYSTEM.get(name, 0)
    if spec.get("priority") not in (None, priority):
        why = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {priority} from the given PriorityClass name"
        )
        raise forbidden("pods", "", pod_name, why)
    spec["priority"] = priority
    spec.setdefault("preemptionPolicy", (found or {}).get("preemptionPolicy", DEFAULT_POLICY))


def keep_priority(pod: Json, old: Json) -> None:
    """Keep the old priority in an update that leaves it out, in place."""
    for field in ("priority", "preemptionPolicy"):
        if field in old["spec"] and isinstance(pod.get("spec"), dict):
            pod["spec"].setdefault(field, old["spec"][field])


def _global_default(store: Store) -> Json | None:
    """The class of pods without one; the lowest if several classes are the default."""
    defaults = [each for each in store.items(PRIORITY_CLASSES) if each.get("globalDefault")]
    return min(defaults, key=lambda each: int(each["value"]), default=None)
