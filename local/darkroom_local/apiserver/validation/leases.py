"""Validation of Leases. Pure."""

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value
from darkroom_local.apiserver.apimachinery.unstructured import Json


def validate(document: Json, old: Json | None) -> list[Cause]:
    spec = document.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    causes = []
    if duration is not None and duration <= 0:
        causes.append(invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        causes.append(invalid_value("spec.leaseTransitions", transitions, "must be greater than or equal to 0"))
    return causes
