"""The marks of a deletion: when, after which grace, and what is to become of the dependents; and its preconditions.

Pure; used by verbs.
"""

from datetime import UTC, datetime, timedelta

from darkroom_local.apiserver.apimachinery.errors import conflict
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone
from darkroom_local.apiserver.resources.registry import Resource
from darkroom_local.apiserver.validation import pods

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
FINALIZERS = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN], "Background": list[str]()}


def mark_for_deletion(resource: Resource, old: Json, request: Json) -> Json:
    """The object with the marks of a deletion that was asked for (DeleteOptions)."""
    dying: Json = clone(old)
    metadata = dying["metadata"]
    grace = pods.grace_seconds(old, request.get("gracePeriodSeconds")) if resource.plural == "pods" else 0
    before = metadata.get("deletionGracePeriodSeconds")
    if before is None or grace < before:
        metadata["deletionTimestamp"] = _in_seconds(grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
    _follow_policy(metadata, request.get("propagationPolicy"))
    if resource.plural == "namespaces":
        dying["status"] = {"phase": "Terminating"}
    return dying


def check_preconditions(resource: Resource, old: Json, preconditions: Json) -> None:
    """Raises 409 when it is another object than the one that is to be deleted or replaced, or in another state."""
    for field in ("uid", "resourceVersion"):
        wanted, actual = preconditions.get(field), old["metadata"][field]
        if wanted and wanted != actual:
            why = f"the {field} in the precondition ({wanted}) does not match the {field} in record ({actual})"
            raise conflict(resource.plural, resource.group, old["metadata"]["name"], f"Precondition failed: {why}")


def _follow_policy(metadata: Json, policy: str | None) -> None:
    """What is to become of the dependents is written down as a finalizer; a policy that is given replaces another."""
    if policy is None:
        return
    others = [each for each in metadata.get("finalizers") or [] if each not in (FOREGROUND, ORPHAN)]
    metadata.pop("finalizers", None)
    if finalizers := others + FINALIZERS[policy]:
        metadata["finalizers"] = finalizers


def _in_seconds(seconds: int) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
