"""What an object must be and becomes before it is written: names, metadata, defaults, validation. Pure.

Called by `verbs.py`, which owns the store; nothing here reads or writes it.
"""

import base64
import re
import secrets
import uuid
from typing import Any

from darkroom_local.apiserver import pods
from darkroom_local.apiserver.documents import Json, clone, meta, now, same_but
from darkroom_local.apiserver.errors import (
    Cause,
    StatusError,
    bad_request,
    conflict,
    invalid,
    invalid_value,
    required_value,
)
from darkroom_local.apiserver.registry import Resource

NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")
LABEL_KEY = re.compile(r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")
FIXED_METADATA = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
BOOKKEEPING = frozenset({"resourceVersion", "managedFields"})
SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, as Kubernetes has it, so that no words come out."""


def check_envelope(resource: Resource, namespace: str, body: Any) -> Json:
    """A copy of a request's body with kind, version and namespace filled in. Raises 400 if the path differs."""
    if not isinstance(body, dict):
        raise bad_request("the body of the request must be a JSON object")
    document: Json = clone(body)
    for field, expected in (("apiVersion", resource.group_version), ("kind", resource.kind)):
        if document.setdefault(field, expected) != expected:
            raise bad_request(
                f"the {field} in the data ({document[field]}) does not match the expected {field} ({expected})"
            )
    metadata = meta(document)
    if not isinstance(metadata, dict):
        raise bad_request("metadata must be an object")
    if resource.namespaced and metadata.setdefault("namespace", namespace) != namespace:
        raise bad_request(
            f"the namespace of the provided object does not match the namespace sent on the request "
            f"({metadata['namespace']} is not {namespace})"
        )
    return document


def born(resource: Resource, document: Json) -> Json:
    """A new object's metadata and first status, in place."""
    metadata = document["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(SUFFIX_LETTERS) for _ in range(5))
        metadata["name"] = f"{metadata['generateName']}{suffix}"
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
    dropped = resource.custom.structural.prune(document) if resource.custom else []
    _fill_in(resource, document)
    causes = _metadata_causes(document["metadata"]) + _own_causes(resource, document, old)
    if resource.custom:
        causes += resource.custom.check(document, old)
    if causes:
        raise invalid(resource.kind, resource.group, document["metadata"].get("name", ""), causes)
    return dropped


def strict_error(dropped: list[str]) -> StatusError:
    listed = ", ".join(f'unknown field "{path.lstrip(".")}"' for path in dropped)
    return bad_request(f"strict decoding error: {listed}")


def succeed(resource: Resource, old: Json, new: Json, subresource: str) -> Json:
    """The next state of an object: what an update may not change is taken from the old one.

    Raises 409 when the update was made on another state, or on another object of this name.
    """
    before, after = old["metadata"], meta(new)
    for field in ("uid", "resourceVersion"):
        if after.get(field) and after[field] != before[field]:
            raise conflict(resource.plural, resource.group, before["name"])
    if after.get("name", before["name"]) != before["name"]:
        raise bad_request("the name of the object does not match the name on the URL")
    if subresource == "status":
        kept = {key: value for key, value in old.items() if key != "status"}
        kept["metadata"] = clone(before)
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
    elif resource.plural == "pods":
        pods.fill_in(document)
    elif resource.plural == "secrets":
        text = document.pop("stringData", None) or {}
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
        if encoded or document.get("data"):
            document["data"] = (document.get("data") or {}) | encoded
        document.setdefault("type", "Opaque")


def _own_causes(resource: Resource, document: Json, old: Json | None) -> list[Cause]:
    if resource.plural == "pods":
        return pods.check(document, old)
    if resource.plural == "leases" and (document.get("spec") or {}).get("holderIdentity") == "":
        return [invalid_value("spec.holderIdentity", "", "must not be empty")]
    return []


def _metadata_causes(metadata: Json) -> list[Cause]:
    name = metadata.get("name")
    if not name:
        return [required_value("metadata.name", "name or generateName is required")]
    causes = []
    if not isinstance(name, str) or not NAME.match(name):
        detail = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        causes.append(invalid_value("metadata.name", name, detail))
    for key, value in (metadata.get("labels") or {}).items():
        if not LABEL_KEY.match(key):
            causes.append(invalid_value("metadata.labels", key, "name part must be a qualified name"))
        if not isinstance(value, str) or not LABEL_VALUE.match(value):
            causes.append(invalid_value("metadata.labels", value, "a valid label must be a short alphanumeric string"))
    return causes
