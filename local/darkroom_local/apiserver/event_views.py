"""Events are served twice, as in Kubernetes: core `v1` and `events.k8s.io/v1` are two views of the same objects. Pure.

The store keeps them as core `v1`; `verbs.py` and `watch.py` convert. Validation is that of Kubernetes 1.36
(pkg/apis/core/validation/events.go): strict for writes through `events.k8s.io/v1`, lenient for core `v1`. Its causes
name core fields in both.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from darkroom_local.apiserver.documents import Json, dig
from darkroom_local.apiserver.errors import Cause, invalid_value, required_value

Test = Callable[[Json], bool]

COLLECTION = "/events"
GROUP = "events.k8s.io"
GROUP_VERSION = f"{GROUP}/v1"

_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""Core field names and those of events.k8s.io/v1, where they differ (pkg/apis/events/v1/conversion.go)."""
_CORE_NAMES = {view: core for core, view in _RENAMED.items()}

_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
CORE_FIELDS = frozenset(
    {f"involvedObject.{field}" for field in _REFERENCE} | {"reason", "reportingComponent", "source", "type"}
)
FIELDS = frozenset({f"regarding.{field}" for field in _REFERENCE} | {"reason", "reportingController", "type"})
"""What a field selector may name in each view."""

MAX_CHARACTERS = 128
"""Of `action`, `reason` and `reportingInstance`, in bytes as Go counts them."""
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


def to_core(document: Json) -> Json:
    """The Event as core `v1`; one that is so already is returned unchanged."""
    if document.get("apiVersion") != GROUP_VERSION:
        return document
    renamed = {_CORE_NAMES.get(field, field): value for field, value in document.items()}
    return renamed | {"apiVersion": "v1"}


def to_view(document: Json, group_version: str) -> Json:
    """The Event as the wanted version shows it."""
    core = to_core(document)
    if group_version != GROUP_VERSION:
        return core
    return {_RENAMED.get(field, field): value for field, value in core.items()} | {"apiVersion": GROUP_VERSION}


def kept(collection: str, document: Json) -> Json:
    """An object of any kind as the store keeps it."""
    return to_core(document) if collection == COLLECTION else document


def select_as_served(collection: str, selects: Test) -> Test:
    """A selector of any kind. For Events, `source` is the component, or the controller of an Event without one."""
    return (lambda document: selects(_selectable(document))) if collection == COLLECTION else selects


def _selectable(document: Json) -> Json:
    component = dig(document, ("source", "component")) or document.get("reportingComponent")
    return document | {"source": component}


def check(document: Json, old: Json | None) -> list[Cause]:
    event, is_strict = to_core(document), document.get("apiVersion") == GROUP_VERSION
    causes = _legacy_causes(event)
    if not is_strict:
        return causes
    return causes + (_created_causes(event) if old is None else _changed_causes(event, to_core(old)))


def _legacy_causes(event: Json) -> list[Cause]:
    """Of both views. An Event without `eventTime` is of the old kind, and little is asked of it."""
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
