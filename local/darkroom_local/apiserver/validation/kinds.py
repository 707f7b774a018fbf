"""Defaults and validation of each built-in kind. Pure."""

import base64
from collections.abc import Callable

from darkroom_local.apiserver.apimachinery.errors import Cause
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources import definitions
from darkroom_local.apiserver.resources.registry import RBAC
from darkroom_local.apiserver.resources.resource import (
    DEFINITIONS,
    EVENTS,
    LEASES,
    PODS,
    PRIORITY_CLASSES,
    QUOTAS,
    Resource,
)
from darkroom_local.apiserver.validation import (
    events,
    immutability,
    leases,
    pods,
    priority_classes,
    rbac,
    resource_quotas,
)


def set_defaults(resource: Resource, document: Json) -> None:
    """Set the defaults of an object, in place."""
    if resource.custom:
        resource.custom.structural.default(document)
    elif set_kind_defaults := DEFAULTERS.get(resource.collection):
        set_kind_defaults(document)


def validate(resource: Resource, document: Json, old: Json | None) -> list[Cause]:
    """Errors of a new object, or of a change to one."""
    if resource.custom:
        return resource.custom.validate(document, old)
    validate_kind = VALIDATORS.get(resource.collection)
    return validate_kind(document, old) if validate_kind else []


def _set_secret_defaults(document: Json) -> None:
    text = document.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
    if encoded or document.get("data"):
        document["data"] = (document.get("data") or {}) | encoded
    document.setdefault("type", "Opaque")


DEFAULTERS: dict[str, Callable[[Json], None]] = {
    PODS: pods.set_defaults,
    QUOTAS: resource_quotas.set_defaults,
    "/secrets": _set_secret_defaults,
    DEFINITIONS: definitions.set_defaults,
    PRIORITY_CLASSES: priority_classes.set_defaults,
    f"{RBAC}/rolebindings": rbac.set_defaults,
    f"{RBAC}/clusterrolebindings": rbac.set_defaults,
}
"""By collection: sets the defaults, in place."""

VALIDATORS: dict[str, Callable[[Json, Json | None], list[Cause]]] = {
    **{f"apps/{plural}": immutability.validate_workload for plural in ("daemonsets", "deployments", "replicasets")},
    "apps/statefulsets": immutability.validate_workload,
    "batch/jobs": immutability.validate_job,
    "/configmaps": immutability.validate_config_map,
    "/persistentvolumeclaims": immutability.validate_claim,
    "/secrets": immutability.validate_secret,
    EVENTS: events.validate,
    PODS: pods.validate,
    QUOTAS: resource_quotas.validate,
    LEASES: leases.validate,
    PRIORITY_CLASSES: priority_classes.validate,
    f"{RBAC}/roles": rbac.validate_role,
    f"{RBAC}/clusterroles": rbac.validate_cluster_role,
    f"{RBAC}/rolebindings": rbac.validate_binding,
    f"{RBAC}/clusterrolebindings": rbac.validate_cluster_binding,
}
"""By collection: errors of an object (new, old or None)."""
