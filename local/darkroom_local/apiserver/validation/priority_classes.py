"""Defaults and validation of PriorityClasses. Pure."""

from darkroom_local.apiserver.apimachinery.errors import Cause, forbidden_value, invalid_value
from darkroom_local.apiserver.apimachinery.unstructured import Json

MAX_USER_PRIORITY = 1_000_000_000
DEFAULT_POLICY = "PreemptLowerPriority"


def set_defaults(document: Json) -> None:
    """Set defaults, in place."""
    document.setdefault("value", 0)
    document.setdefault("preemptionPolicy", DEFAULT_POLICY)


def validate(document: Json, old: Json | None) -> list[Cause]:
    name, value = document["metadata"].get("name", ""), document["value"]
    causes = []
    if value > MAX_USER_PRIORITY:
        causes.append(
            forbidden_value("value", f"maximum allowed value of a user defined priority is {MAX_USER_PRIORITY}")
        )
    if name.startswith("system-"):
        why = "priority class names with 'system-' prefix are reserved for system use only"
        causes.append(forbidden_value("metadata.name", why))
    if old is not None and value != old["value"]:
        causes.append(forbidden_value("value", "may not be changed in an update."))
    if old is not None and document["preemptionPolicy"] != old["preemptionPolicy"]:
        causes.append(invalid_value("preemptionPolicy", document["preemptionPolicy"], "field is immutable"))
    return causes
