"""What of built-in kinds must fit together, and what may not change: where charts fail at their first upgrade. Pure.

Used by objects. Only what a chart is likely to get wrong: this server runs no controller that would mind.
"""

from typing import Any

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden_value, invalid_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig

CLAIM_RULE = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
CLAIM_CHANGEABLE = frozenset({"resources", "volumeAttributesClassName", "volumeName"})


def validate_workload(document: Json, old: Json | None) -> list[Cause]:
    """Deployments, stateful and daemon sets, replica sets."""
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
    return causes + _kept(document, old, ("spec", "selector"))


def validate_job(document: Json, old: Json | None) -> list[Cause]:
    return _kept(document, old, ("spec", "template"))


def validate_secret(document: Json, old: Json | None) -> list[Cause]:
    return _kept(document, old, ("type",)) + _kept_whole(document, old, ("data",))


def validate_config_map(document: Json, old: Json | None) -> list[Cause]:
    return _kept_whole(document, old, ("data", "binaryData"))


def validate_claim(document: Json, old: Json | None) -> list[Cause]:
    if old is None or _fixed(document) == _fixed(old):
        return []
    return [forbidden_value("spec", CLAIM_RULE)]


def _fixed(claim: Json) -> dict[str, Any]:
    return {name: value for name, value in (claim.get("spec") or {}).items() if name not in CLAIM_CHANGEABLE}


def _kept(document: Json, old: Json | None, path: tuple[str, ...]) -> list[Cause]:
    now = dig(document, path)
    if old is None or now == dig(old, path):
        return []
    return [invalid_value(".".join(path), now, "field is immutable")]


def _kept_whole(document: Json, old: Json | None, fields: tuple[str, ...]) -> list[Cause]:
    """Of Secrets and ConfigMaps that say themselves that they do not change."""
    if old is None or not old.get("immutable"):
        return []
    changed = [field for field in (*fields, "immutable") if document.get(field) != old.get(field)]
    return [forbidden_value(field, "field is immutable when `immutable` is set") for field in changed]
