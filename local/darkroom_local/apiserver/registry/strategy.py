"""What an object must be and becomes before it is written: names, metadata, defaults, validation. Pure.

Called by `verbs.py`, which owns the store; nothing here reads or writes it.
"""

import base64
import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from darkroom_local.apiserver.admission import priority, resource_quota
from darkroom_local.apiserver.apimachinery.errors import (
    Cause,
    StatusError,
    bad_request,
    conflict,
    forbidden_value,
    invalid,
    invalid_value,
    required_value,
)
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, equal_ignoring, meta, now
from darkroom_local.apiserver.resources import definitions
from darkroom_local.apiserver.resources.registry import RBAC, Resource
from darkroom_local.apiserver.validation import immutability, leases, pods, rbac
from darkroom_local.apiserver.validation.decoding import drop_unknown_metadata, undecodable

LABEL_KEY = re.compile(r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")


@dataclass(frozen=True)
class NameRule:
    """What an object may be called."""

    pattern: re.Pattern[str]
    detail: str


SUBDOMAIN = NameRule(
    re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"),
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
)
PATH_SEGMENT = NameRule(re.compile(r"^(?!\.{1,2}$)[^/%]+$"), "may not be '.', '..', or contain '/' or '%'")
"""Of roles and bindings, such as `system:discovery`."""
SERVER_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
UNCOMPARED_METADATA = frozenset({"resourceVersion", "managedFields"})
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, as Kubernetes has it, so that no words come out."""
MAX_PREFIX_LENGTH = 58
"""Of a generated name, so that with its suffix it is no longer than a DNS label."""


def prepare_for_create(resource: Resource, document: Json) -> Json:
    """A new object's metadata and first status, in place."""
    metadata = document["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
        metadata["name"] = f"{metadata['generateName'][:MAX_PREFIX_LENGTH]}{suffix}"
    for field in (*SERVER_METADATA, "resourceVersion", "selfLink"):
        metadata.pop(field, None)
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
    if resource.has_generation:
        metadata["generation"] = 1
    if resource.has_status and resource.plural != "nodes":
        document.pop("status", None)
    if resource.plural == "namespaces":
        document["status"] = {"phase": "Active"}
        metadata.setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", metadata.get("name"))
    return document


def prepare(resource: Resource, document: Json, old: Json | None) -> list[str]:
    """Prune, default and validate, in place. The unknown fields that were dropped. Raises 422."""
    dropped = drop_unknown_metadata(document)
    if resource.custom:
        dropped += resource.custom.structural.prune(document)
    _set_defaults(resource, document)
    name = PATH_SEGMENT if resource.group == RBAC else SUBDOMAIN
    causes = _metadata_causes(document["metadata"], old, name) + _own_causes(resource, document, old)
    if resource.custom:
        causes += resource.custom.check(document, old)
    if causes:
        raise invalid(resource.kind, resource.group, document["metadata"].get("name", ""), causes)
    return dropped


def strict_error(resource: Resource, dropped: list[str]) -> StatusError:
    listed = ", ".join(f'unknown field "{path}"' for path in dropped)
    return undecodable(resource, f"strict decoding error: {listed}")


def prepare_for_update(resource: Resource, old: Json, new: Json, subresource: str) -> Json:
    """The next state of an object: what an update may not change is taken from the old one.

    Raises 409 when the update was made on another state, and 422 when it was meant for another object of this name. Of
    what is sent to a custom kind's status, nothing but the status counts, the uid neither.
    """
    if resource.custom and subresource == "status":
        require_same_version(resource, old, new)
    else:
        require_same_object(resource, old, new)
    before, after = old["metadata"], meta(new)
    if after.get("name", before["name"]) != before["name"]:
        raise bad_request("the name of the object does not match the name on the URL")
    if subresource == "status":
        kept: Json = clone({key: value for key, value in old.items() if key != "status"})
        return kept | ({"status": new["status"]} if new.get("status") is not None else {})
    for field in (*SERVER_METADATA, "name", "namespace"):
        after.pop(field, None)
        if field in before:
            after[field] = before[field]
    after["resourceVersion"] = before["resourceVersion"]
    if resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = clone(old["status"])
    return new


def require_same_object(resource: Resource, old: Json, sent: Json) -> None:
    """Raise 409 when a body names another state of the present object, and 422 when it gives it another uid."""
    require_same_version(resource, old, sent)
    before, after = old["metadata"], sent.get("metadata") or {}
    if after.get("uid") and after["uid"] != before["uid"]:
        cause = invalid_value("metadata.uid", after["uid"], "field is immutable")
        raise invalid(resource.kind, resource.group, before["name"], [cause])


def require_same_version(resource: Resource, old: Json, sent: Json) -> None:
    """Raise 409 when a body names another state of an object than the present one."""
    before, after = old["metadata"], sent.get("metadata") or {}
    if after.get("resourceVersion") and after["resourceVersion"] != before["resourceVersion"]:
        raise conflict(resource.plural, resource.group, before["name"])


def bump_generation(resource: Resource, old: Json, new: Json) -> None:
    """Raise the generation when anything but metadata and status has changed."""
    if not resource.has_generation:
        return
    passing = ("metadata", "status") if resource.has_status else ("metadata",)
    bodies = [{key: value for key, value in each.items() if key not in passing} for each in (old, new)]
    if bodies[0] != bodies[1]:
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1


def is_unchanged(old: Json, new: Json) -> bool:
    return equal_ignoring(old, new, UNCOMPARED_METADATA)


def _set_defaults(resource: Resource, document: Json) -> None:
    if resource.custom:
        resource.custom.structural.default(document)
    elif set_defaults := DEFAULTERS.get(resource.collection):
        set_defaults(document)


def _set_secret_defaults(document: Json) -> None:
    text = document.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
    if encoded or document.get("data"):
        document["data"] = (document.get("data") or {}) | encoded
    document.setdefault("type", "Opaque")


def _own_causes(resource: Resource, document: Json, old: Json | None) -> list[Cause]:
    check = None if resource.custom else VALIDATORS.get(resource.collection)
    return check(document, old) if check else []


DEFAULTERS: dict[str, Callable[[Json], None]] = {
    "/pods": pods.set_defaults,
    "/resourcequotas": resource_quota.set_defaults,
    "/secrets": _set_secret_defaults,
    "apiextensions.k8s.io/customresourcedefinitions": definitions.set_defaults,
    "scheduling.k8s.io/priorityclasses": priority.set_defaults,
    f"{RBAC}/rolebindings": rbac.set_defaults,
    f"{RBAC}/clusterrolebindings": rbac.set_defaults,
}
"""Defaults of built-in kinds, in place."""

VALIDATORS: dict[str, Callable[[Json, Json | None], list[Cause]]] = {
    **{f"apps/{plural}": immutability.validate_workload for plural in ("daemonsets", "deployments", "replicasets")},
    "apps/statefulsets": immutability.validate_workload,
    "batch/jobs": immutability.validate_job,
    "/configmaps": immutability.validate_config_map,
    "/persistentvolumeclaims": immutability.validate_claim,
    "/secrets": immutability.validate_secret,
    "/pods": pods.check,
    "/resourcequotas": resource_quota.check,
    "coordination.k8s.io/leases": leases.check,
    "scheduling.k8s.io/priorityclasses": priority.check,
    f"{RBAC}/roles": rbac.validate_role,
    f"{RBAC}/clusterroles": rbac.validate_cluster_role,
    f"{RBAC}/rolebindings": rbac.validate_binding,
    f"{RBAC}/clusterrolebindings": rbac.validate_cluster_binding,
}
"""What is wrong with an object of a built-in kind, or with a change of one."""


def _metadata_causes(metadata: Json, old: Json | None, allowed: NameRule) -> list[Cause]:
    name = metadata.get("name")
    if not name:
        return [required_value("metadata.name", "name or generateName is required")]
    causes = [] if allowed.pattern.match(name) else [invalid_value("metadata.name", name, allowed.detail)]
    causes += _label_causes(metadata.get("labels") or {})
    causes += _owner_causes(metadata.get("ownerReferences") or [])
    if old is not None and "deletionTimestamp" in old["metadata"]:
        known = old["metadata"].get("finalizers") or []
        added = [each for each in metadata.get("finalizers") or [] if each not in known]
        why = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
        causes += [forbidden_value("metadata.finalizers", why)] if added else []
    return causes


def _label_causes(labels: dict[str, str]) -> list[Cause]:
    causes = [
        invalid_value("metadata.labels", key, "name part must be a qualified name")
        for key in labels
        if not LABEL_KEY.match(key)
    ]
    detail = "a valid label must be an empty string or at most 63 alphanumeric characters, '-', '_' or '.'"
    return causes + [
        invalid_value("metadata.labels", value, detail) for value in labels.values() if not LABEL_VALUE.match(value)
    ]


def _owner_causes(references: list[Json]) -> list[Cause]:
    return [
        required_value(f"metadata.ownerReferences[{number}].{field}", f"{field} must not be empty")
        for number, reference in enumerate(references)
        for field in ("apiVersion", "kind", "name", "uid")
        if not reference.get(field)
    ]
