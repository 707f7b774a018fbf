"""Validation of Events, like Kubernetes 1.36 (pkg/apis/core/validation/events.go). Pure.

Strict for writes through `events.k8s.io/v1`, lenient for core `v1`. The causes name core fields in both.
"""

import re
from datetime import datetime
from typing import Any

from darkroom_local.apiserver.apimachinery.errors import Cause, invalid_value, required_value
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig
from darkroom_local.apiserver.resources.event_views import GROUP_VERSION, to_core

MAX_CHARACTERS = 128
"""Limit of `action`, `reason` and `reportingInstance`, in bytes, like Go's `len`."""
MAX_NOTE_BYTES = 1024
QUALIFIED_NAME = re.compile(
    r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$"
)
IMMUTABLE = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)


def validate(document: Json, old: Json | None) -> list[Cause]:
    event, is_strict = to_core(document), document.get("apiVersion") == GROUP_VERSION
    causes = _legacy_causes(event)
    if not is_strict:
        return causes
    return causes + (_created_causes(event) if old is None else _changed_causes(event, to_core(old)))


def _legacy_causes(event: Json) -> list[Cause]:
    """Checks for both views. A legacy Event, which has no `eventTime`, needs little more than a namespace."""
    namespace = event["metadata"].get("namespace", "")
    about = dig(event, ("involvedObject", "namespace")) or ""
    if not event.get("eventTime"):
        fits = about == namespace or (not about and namespace == "default")
        return [] if fits else [_other_namespace(about)]
    causes = [_other_namespace(about)] if not about and namespace not in ("default", "kube-system") else []
    for field, name in (("reportingComponent", "reportingController"), ("reportingInstance", "reportingInstance")):
        causes += [] if event.get(field) else [required_value(name)]
    controller = event.get("reportingComponent") or ""
    if controller and not QUALIFIED_NAME.match(controller):
        causes.append(invalid_value("reportingController", controller, "name part must be a qualified name"))
    causes += [required_value(field) for field in ("action", "reason") if not event.get(field)]
    bounds = {**dict.fromkeys(("reportingInstance", "action", "reason"), MAX_CHARACTERS), "message": MAX_NOTE_BYTES}
    return causes + [cause for field, most in bounds.items() for cause in _length_causes(event, field, most)]


def _length_causes(event: Json, field: str, most: int) -> list[Cause]:
    is_too_long = len((event.get(field) or "").encode()) > most
    return [invalid_value(field, "", f"can have at most {most} characters")] if is_too_long else []


def _other_namespace(namespace: str) -> Cause:
    return invalid_value("involvedObject.namespace", namespace, "does not match event.namespace")


def _created_causes(event: Json) -> list[Cause]:
    causes = _series_causes(event)
    if not event.get("eventTime"):
        causes.append(required_value("eventTime"))
    if event.get("type") not in ("Normal", "Warning"):
        causes.append(invalid_value("type", "", f"has invalid value: {event.get('type') or ''}"))
    unwanted = [field for field in ("firstTimestamp", "lastTimestamp", "count", "source") if event.get(field)]
    return causes + [invalid_value(field, "", "needs to be unset") for field in unwanted]


def _changed_causes(event: Json, old: Json) -> list[Cause]:
    causes = _series_causes(event) if event.get("series") != old.get("series") else []
    changed = [field for field in IMMUTABLE if _comparable(event, field) != _comparable(old, field)]
    return causes + [invalid_value(field, event.get(field), "field is immutable") for field in changed]


def _comparable(event: Json, field: str) -> Any:
    value = event.get(field) or None
    return datetime.fromisoformat(value) if value and field.endswith(("Time", "Timestamp")) else value


def _series_causes(event: Json) -> list[Cause]:
    series = event.get("series")
    if series is None:
        return []
    causes = [] if (series.get("count") or 0) >= 2 else [invalid_value("series.count", "", "should be at least 2")]
    return causes + ([] if series.get("lastObservedTime") else [required_value("series.lastObservedTime")])
