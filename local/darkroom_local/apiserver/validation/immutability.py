"""Immutable fields and selectors of built-in kinds: the errors on which a chart's first upgrade fails. Pure.

Only checks what a chart is likely to get wrong, since this server runs no controllers for these kinds.
"""

from typing import Any

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden_value, invalid_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig

CLAIM_RULE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
CLAIM_MUTABLE = frozenset({"resources", "volumeAttributesClassName", "volumeName"})


def validate_workload(document: Json, old: Json | None) -> list[Cause]:
    """For Deployments, StatefulSets, DaemonSets and ReplicaSets."""
    spec = document.get("spec") or {}
    selector = spec.get("selector")
    if not selector:
        return [required_value("spec.selector")]
    labels = dig(spec, ("template", "metadata", "labels")) or {}
    wanted = selector.get("matchLabels") or {}
    causes = []
    if any(labels.get(key) != value for key, value in wanted.items()):
        why = "`selector` does not match template `labels`"
        causes.append(invalid_value("spec.template.metadata.labels", labels, why))
    return causes + _immutable_field(document, old, ("spec", "selector"))


def validate_job(document: Json, old: Json | None) -> list[Cause]:
    return _immutable_field(document, old, ("spec", "template"))


def validate_secret(document: Json, old: Json | None) -> list[Cause]:
    return _immutable_field(document, old, ("type",)) + _immutable_object(document, old, ("data",))


def validate_config_map(document: Json, old: Json | None) -> list[Cause]:
    return _immutable_object(document, old, ("data", "binaryData"))


def validate_claim(document: Json, old: Json | None) -> list[Cause]:
    if old is None or _immutable_spec(document) == _immutable_spec(old):
        return []
    return [forbidden_value("spec", CLAIM_RULE)]


def _immutable_spec(claim: Json) -> dict[str, Any]:
    return {name: value for name, value in (claim.get("spec") or {}).items() if name not in CLAIM_MUTABLE}


def _immutable_field(document: Json, old: Json | None, path: tuple[str, ...]) -> list[Cause]:
    value = dig(document, path)
    if old is None or value == dig(old, path):
        return []
    return [invalid_value(".".join(path), value, "field is immutable")]


def _immutable_object(document: Json, old: Json | None, fields: tuple[str, ...]) -> list[Cause]:
    """For Secrets and ConfigMaps with `immutable: true`."""
    if old is None or not old.get("immutable"):
        return []
    changed = [field for field in (*fields, "immutable") if document.get(field) != old.get(field)]
    return [forbidden_value(field, "field is immutable when `immutable` is set") for field in changed]
