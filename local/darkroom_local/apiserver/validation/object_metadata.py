"""Validation of `metadata`: names, labels, owner references and finalizers. Pure."""

import re
from dataclasses import dataclass

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden_value, invalid_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json

LABEL_KEY = re.compile(r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")


@dataclass(frozen=True)
class NameRule:
    """The names that a kind allows."""

    pattern: re.Pattern[str]
    detail: str


SUBDOMAIN = NameRule(
    re.compile(r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"),
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
)
PATH_SEGMENT = NameRule(re.compile(r"^(?!\.{1,2}$)[^/%]+$"), "may not be '.', '..', or contain '/' or '%'")
"""For roles and bindings, with names such as `system:discovery`."""


def validate_metadata(metadata: Json, old: Json | None, names: NameRule) -> list[Cause]:
    name = metadata.get("name")
    if not name:
        return [required_value("metadata.name", "name or generateName is required")]
    causes = [] if names.pattern.match(name) else [invalid_value("metadata.name", name, names.detail)]
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
