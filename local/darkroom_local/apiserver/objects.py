"""What an object must be and becomes before it is written: names, metadata, defaults, validation. Pure.

Called by `verbs.py`, which owns the store; nothing here reads or writes it.
"""

import base64
import re
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from darkroom_local.apiserver import customtype, event_views, leases, pods, priorities, quotas, roles, unchangeable
from darkroom_local.apiserver.documents import Json, clone, meta, now, same_but
from darkroom_local.apiserver.envelope import drop_unknown_metadata, undecodable
from darkroom_local.apiserver.errors import (
    Cause,
    StatusError,
    bad_request,
    conflict,
    forbidden_value,
    invalid,
    invalid_value,
    required_value,
)
from darkroom_local.apiserver.registry import RBAC, Resource

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
FIXED_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
BOOKKEEPING = frozenset({"resourceVersion", "managedFields"})
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, as Kubernetes has it, so that no words come out."""
LONGEST_PREFIX = 58
"""Of a generated name, so that with its suffix it is no longer than a DNS label."""


def born(resource: Resource, document: Json) -> Json:
    """A new object's metadata and first status, in place."""
    metadata = document["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
        metadata["name"] = f"{metadata['generateName'][:LONGEST_PREFIX]}{suffix}"
    for field in (*FIXED_METADATA, "resourceVersion", "selfLink"):
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
    _fill_in(resource, document)
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


def succeed(resource: Resource, old: Json, new: Json, subresource: str) -> Json:
    """The next state of an object: what an update may not change is taken from the old one.

    Raises 409 when the update was made on another state, and 422 when it was meant for another object of this name. Of
    what is sent to a custom kind's status, nothing but the status counts, the uid neither.
    """
    if resource.custom and subresource == "status":
        require_state(resource, old, new)
    else:
        require_same(resource, old, new)
    before, after = old["metadata"], meta(new)
    if after.get("name", before["name"]) != before["name"]:
        raise bad_request("the name of the object does not match the name on the URL")
    if subresource == "status":
        kept: Json = clone({key: value for key, value in old.items() if key != "status"})
        return kept | ({"status": new["status"]} if new.get("status") is not None else {})
    for field in (*FIXED_METADATA, "name", "namespace"):
        after.pop(field, None)
        if field in before:
            after[field] = before[field]
    after["resourceVersion"] = before["resourceVersion"]
    if resource.has_status:
        new.pop("status", None)
        if "status" in old:
            new["status"] = clone(old["status"])
    return new


def require_same(resource: Resource, old: Json, sent: Json) -> None:
    """Raise 409 when a body names another state of the present object, and 422 when it gives it another uid."""
    require_state(resource, old, sent)
    before, after = old["metadata"], sent.get("metadata") or {}
    if after.get("uid") and after["uid"] != before["uid"]:
        cause = invalid_value("metadata.uid", after["uid"], "field is immutable")
        raise invalid(resource.kind, resource.group, before["name"], [cause])


def require_state(resource: Resource, old: Json, sent: Json) -> None:
    """Raise 409 when a body names another state of an object than the present one."""
    before, after = old["metadata"], sent.get("metadata") or {}
    if after.get("resourceVersion") and after["resourceVersion"] != before["resourceVersion"]:
        raise conflict(resource.plural, resource.group, before["name"])


def count_generation(resource: Resource, old: Json, new: Json) -> None:
    """Raise the generation when anything but metadata and status has changed."""
    if not resource.has_generation:
        return
    passing = ("metadata", "status") if resource.has_status else ("metadata",)
    bodies = [{key: value for key, value in each.items() if key not in passing} for each in (old, new)]
    if bodies[0] != bodies[1]:
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1


def is_unchanged(old: Json, new: Json) -> bool:
    return same_but(old, new, BOOKKEEPING)


def _fill_in(resource: Resource, document: Json) -> None:
    if resource.custom:
        resource.custom.structural.default(document)
    elif fill_in := FILL_IN.get(resource.collection):
        fill_in(document)


def _fill_in_secret(document: Json) -> None:
    text = document.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
    if encoded or document.get("data"):
        document["data"] = (document.get("data") or {}) | encoded
    document.setdefault("type", "Opaque")


def _own_causes(resource: Resource, document: Json, old: Json | None) -> list[Cause]:
    check = None if resource.custom else CHECKS.get(resource.collection)
    return check(document, old) if check else []


FILL_IN: dict[str, Callable[[Json], None]] = {
    "/pods": pods.fill_in,
    "/resourcequotas": quotas.fill_in,
    "/secrets": _fill_in_secret,
    "apiextensions.k8s.io/customresourcedefinitions": customtype.fill_in,
    "scheduling.k8s.io/priorityclasses": priorities.fill_in,
    f"{RBAC}/rolebindings": roles.fill_in,
    f"{RBAC}/clusterrolebindings": roles.fill_in,
}
"""Defaults of built-in kinds, in place."""

CHECKS: dict[str, Callable[[Json, Json | None], list[Cause]]] = {
    **{f"apps/{plural}": unchangeable.check_workload for plural in ("daemonsets", "deployments", "replicasets")},
    "apps/statefulsets": unchangeable.check_workload,
    "batch/jobs": unchangeable.check_job,
    "/configmaps": unchangeable.check_config_map,
    "/persistentvolumeclaims": unchangeable.check_claim,
    "/secrets": unchangeable.check_secret,
    event_views.COLLECTION: event_views.check,
    "/pods": pods.check,
    "/resourcequotas": quotas.check,
    "coordination.k8s.io/leases": leases.check,
    "scheduling.k8s.io/priorityclasses": priorities.check,
    f"{RBAC}/roles": roles.check_role,
    f"{RBAC}/clusterroles": roles.check_cluster_role,
    f"{RBAC}/rolebindings": roles.check_binding,
    f"{RBAC}/clusterrolebindings": roles.check_cluster_binding,
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
