"""Deletion of objects: preconditions, timestamp, grace period, and finalizers of the propagation policy. Pure."""

from datetime import UTC, datetime, timedelta

from darkroom_local.apiserver.apimachinery.errors import conflict
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, timestamp
from darkroom_local.apiserver.registry.pods import grace_seconds
from darkroom_local.apiserver.resources.resource import NAMESPACES, PODS, Resource

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
FINALIZERS = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN], "Background": list[str]()}


def mark_for_deletion(resource: Resource, old: Json, request: Json) -> Json:
    """The object, marked for deletion as its DeleteOptions request."""
    dying: Json = clone(old)
    metadata = dying["metadata"]
    grace = grace_seconds(old, request.get("gracePeriodSeconds")) if resource.collection == PODS else 0
    before = metadata.get("deletionGracePeriodSeconds")
    if before is None or grace < before:
        metadata["deletionTimestamp"] = _in_seconds(grace)
        metadata["deletionGracePeriodSeconds"] = grace
        if "generation" in metadata:
            metadata["generation"] += 1
    _set_policy_finalizer(metadata, request.get("propagationPolicy"))
    if resource.collection == NAMESPACES:
        dying["status"] = {"phase": "Terminating"}
    return dying


def check_preconditions(resource: Resource, old: Json, preconditions: Json) -> None:
    """Raises 409 if the object has another uid or resourceVersion."""
    for field in ("uid", "resourceVersion"):
        wanted, actual = preconditions.get(field), old["metadata"][field]
        if wanted and wanted != actual:
            why = f"the {field} in the precondition ({wanted}) does not match the {field} in record ({actual})"
            raise conflict(resource.plural, resource.group, old["metadata"]["name"], f"Precondition failed: {why}")


def _set_policy_finalizer(metadata: Json, policy: str | None) -> None:
    """Set the finalizer of a propagation policy; without one, the finalizers stay as they are."""
    if policy is None:
        return
    others = [each for each in metadata.get("finalizers") or [] if each not in (FOREGROUND, ORPHAN)]
    metadata.pop("finalizers", None)
    if finalizers := others + FINALIZERS[policy]:
        metadata["finalizers"] = finalizers


def _in_seconds(seconds: int) -> str:
    return timestamp(datetime.now(UTC) + timedelta(seconds=seconds))
