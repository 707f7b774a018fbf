"""Prepares objects for create and update: metadata, defaults, validation (a `strategy` in Kubernetes). Pure."""

import secrets
import uuid

from darkroom_local.apiserver.apimachinery.errors import bad_request, conflict, invalid, invalid_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, equal_ignoring, meta, now
from darkroom_local.apiserver.registry.request import WriteOptions
from darkroom_local.apiserver.resources.registry import RBAC
from darkroom_local.apiserver.resources.resource import NAMESPACES, NODES, Resource
from darkroom_local.apiserver.validation import kinds
from darkroom_local.apiserver.validation.decoding import drop_unknown_metadata, undecodable
from darkroom_local.apiserver.validation.object_metadata import PATH_SEGMENT, SUBDOMAIN, validate_metadata

SERVER_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
UNCOMPARED_METADATA = frozenset({"resourceVersion", "managedFields"})
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""As in Kubernetes, no vowels, so that no words result."""
MAX_PREFIX_LENGTH = 58
"""Of a generated name, which with its suffix must not exceed a DNS label (63)."""


def prepare_for_create(resource: Resource, document: Json) -> Json:
    """Set a new object's metadata and initial status, in place."""
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
    if resource.has_status and resource.collection != NODES:
        document.pop("status", None)
    if resource.collection == NAMESPACES:
        document["status"] = {"phase": "Active"}
        metadata.setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", metadata.get("name"))
    return document


def default_and_validate(resource: Resource, document: Json, old: Json | None) -> list[str]:
    """Prune, set defaults and validate, in place. Returns the unknown fields that it removed. Raises 422."""
    dropped = drop_unknown_metadata(document)
    if resource.custom:
        dropped += resource.custom.structural.prune(document)
    kinds.set_defaults(resource, document)
    names = PATH_SEGMENT if resource.group == RBAC else SUBDOMAIN
    causes = validate_metadata(document["metadata"], old, names) + kinds.validate(resource, document, old)
    if causes:
        raise invalid(resource.kind, resource.group, document["metadata"].get("name", ""), causes)
    return dropped


def unknown_field_warnings(resource: Resource, dropped: list[str], options: WriteOptions) -> tuple[str, ...]:
    """Warnings about removed fields. Raises 400 with strict field validation."""
    warnings = tuple(f'unknown field "{path}"' for path in dropped)
    if dropped and options.strict:
        raise undecodable(resource, f"strict decoding error: {', '.join(warnings)}")
    return warnings if options.warn else ()


def prepare_for_update(resource: Resource, old: Json, new: Json, subresource: str) -> Json:
    """The next state of an object, with the fields that an update may not change taken from the old one.

    Raises 409 if the update is based on another revision, and 422 if it has another uid. An update of a custom kind's
    status ignores everything except the status, including the uid.
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
    """Raise 409 if the body has another resourceVersion than the object, and 422 if it has another uid."""
    require_same_version(resource, old, sent)
    before, after = old["metadata"], sent.get("metadata") or {}
    if after.get("uid") and after["uid"] != before["uid"]:
        cause = invalid_value("metadata.uid", after["uid"], "field is immutable")
        raise invalid(resource.kind, resource.group, before["name"], [cause])


def require_same_version(resource: Resource, old: Json, sent: Json) -> None:
    """Raise 409 if the body has another resourceVersion than the object."""
    before, after = old["metadata"], sent.get("metadata") or {}
    if after.get("resourceVersion") and after["resourceVersion"] != before["resourceVersion"]:
        raise conflict(resource.plural, resource.group, before["name"])


def bump_generation(resource: Resource, old: Json, new: Json) -> None:
    """Increment the generation if anything except metadata and status has changed."""
    if not resource.has_generation:
        return
    ignored = ("metadata", "status") if resource.has_status else ("metadata",)
    bodies = [{key: value for key, value in each.items() if key not in ignored} for each in (old, new)]
    if bodies[0] != bodies[1]:
        new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1


def is_unchanged(old: Json, new: Json) -> bool:
    return equal_ignoring(old, new, UNCOMPARED_METADATA)
