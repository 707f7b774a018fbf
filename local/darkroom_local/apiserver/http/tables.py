"""Printer tables for `kubectl get` (meta.k8s.io/v1 Table). Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from darkroom_local.apiserver.apimachinery.unstructured import Json, dig, find_condition
from darkroom_local.apiserver.resources import event_views
from darkroom_local.apiserver.resources.resource import EVENTS, Resource


@dataclass(frozen=True)
class Column:
    """A column, and the function that computes its cells. Columns with priority 0 appear without `-o wide`."""

    name: str
    cell: Callable[[Json], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""
    description: str = ""

    def definition(self) -> Json:
        fields = ("name", "type", "format", "description", "priority")
        return {field: getattr(self, field) for field in fields}


def table(documents: list[Json], resource: Resource, list_metadata: Json, include: str) -> Json:
    """The objects as rows; each contains its object, its metadata or neither, as `include` specifies."""
    columns = columns_of(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": [column.definition() for column in columns],
        "rows": [_row(document, columns, include) for document in documents],
    }


def columns_of(resource: Resource) -> list[Column]:
    name = Column("Name", lambda document: document["metadata"]["name"], format="name")
    if resource.custom:
        own = [_custom_column(each) for each in resource.custom.columns]
        return [name, *(own or [AGE])]
    if resource.collection == EVENTS:
        return [*EVENT_COLUMNS, replace(name, priority=1)]
    return [name, *BUILT_IN.get(resource.plural, (AGE,))]


def _row(document: Json, columns: list[Column], include: str) -> Json:
    row: Json = {"cells": [column.cell(document) for column in columns]}
    if include == "Object":
        row["object"] = document
    elif include != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": document["metadata"],
        }
    return row


def age(instant: str | None) -> str:
    """The time since an instant in kubectl's format (duration.HumanDuration)."""
    if not instant:
        return "<unknown>"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds())
    if seconds < 0:
        return "<invalid>" if seconds < -1 else "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{days}d"


def _custom_column(column: Json) -> Column:
    path, kind = column["jsonPath"], column["type"]

    def cell(document: Json) -> Any:
        value = follow(document, path)
        if kind == "date":
            return age(value) if value else None
        return value

    return Column(
        column["name"],
        cell,
        kind,
        column.get("priority", 0),
        column.get("format", ""),
        column.get("description", ""),
    )


_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]|\[\?\(@\.([A-Za-z0-9_]+)==['\"]([^'\"]*)['\"]\)\]")


def follow(document: Any, path: str) -> Any:
    """The value at a JSONPath of fields, indices and equality filters, or None."""
    for field, index, key, wanted in _STEP.findall(path):
        if field:
            document = document.get(field) if isinstance(document, dict) else None
        elif index:
            document = document[int(index)] if isinstance(document, list) and int(index) < len(document) else None
        else:
            document = next((each for each in document or [] if str(each.get(key)) == wanted), None)
        if document is None:
            return None
    return document


def _at(*path: str) -> Callable[[Json], Any]:
    return lambda document: dig(document, path)


def _or_none(*path: str) -> Callable[[Json], Any]:
    return lambda document: dig(document, path) or "<none>"


def _ready_containers(document: Json) -> str:
    statuses = dig(document, ("status", "containerStatuses")) or []
    return f"{sum(bool(each.get('ready')) for each in statuses)}/{len(dig(document, ('spec', 'containers')) or [])}"


def _pod_status(document: Json) -> str:
    status = document.get("status") or {}
    reason = status.get("reason") or status.get("phase") or "Unknown"
    if dig(document, ("spec", "schedulingGates")):
        reason = "SchedulingGated"
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        for part in ("waiting", "terminated"):
            reason = (state.get(part) or {}).get("reason") or reason
    return "Terminating" if "deletionTimestamp" in document["metadata"] else reason


def _restarts(document: Json) -> int:
    return sum(each.get("restartCount", 0) for each in dig(document, ("status", "containerStatuses")) or [])


def _node_status(document: Json) -> str:
    ready = find_condition(document, "Ready")
    return "Ready" if ready and ready["status"] == "True" else "NotReady"


def _count(field: str) -> Callable[[Json], int]:
    return lambda document: len(document.get(field) or {})


def _core_cell(cell: Callable[[Json], Any]) -> Callable[[Json], Any]:
    """A cell of an Event in either of its two views."""
    return lambda document: cell(event_views.to_core(document))


def _first_seen(event: Json) -> str:
    return age(event.get("firstTimestamp") or event.get("eventTime"))


def _last_seen(event: Json) -> str:
    last = dig(event, ("series", "lastObservedTime")) or event.get("lastTimestamp")
    return age(last) if last else _first_seen(event)


def _event_count(event: Json) -> int:
    return int(dig(event, ("series", "count")) or event.get("count") or 1)


def _involved_object(event: Json) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _event_source(event: Json) -> str:
    source = event.get("source") or {}
    parts = source.get("component"), source.get("host")
    if not any(parts):
        parts = event.get("reportingComponent"), event.get("reportingInstance")
    return ", ".join(part for part in parts if part)


def _role_of(document: Json) -> str:
    reference = document.get("roleRef") or {}
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _quota_use(document: Json, of_limits: bool) -> str:
    """`pods: 1/2, secrets: 0/3`."""
    status = document.get("status") or {}
    hard, used = status.get("hard") or {}, status.get("used") or {}
    chosen = [name for name in sorted(hard) if name.startswith("limits.") == of_limits]
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in chosen)


AGE = Column("Age", lambda document: age(document["metadata"].get("creationTimestamp")))

BUILT_IN: dict[str, tuple[Column, ...]] = {
    "pods": (
        Column("Ready", _ready_containers),
        Column("Status", _pod_status),
        Column("Restarts", _restarts),
        AGE,
        Column("IP", _or_none("status", "podIP"), priority=1),
        Column("Node", _or_none("spec", "nodeName"), priority=1),
    ),
    "nodes": (Column("Status", _node_status), AGE, Column("Version", _at("status", "nodeInfo", "kubeletVersion"))),
    "namespaces": (Column("Status", _at("status", "phase")), AGE),
    "leases": (Column("Holder", _at("spec", "holderIdentity")), AGE),
    "secrets": (Column("Type", _at("type")), Column("Data", _count("data")), AGE),
    "resourcequotas": (
        Column("Request", lambda document: _quota_use(document, False)),
        Column("Limit", lambda document: _quota_use(document, True)),
        AGE,
    ),
    "priorityclasses": (
        Column("Value", _at("value"), "integer"),
        Column("Global-Default", lambda document: bool(document.get("globalDefault")), "boolean"),
        AGE,
        Column("PreemptionPolicy", _at("preemptionPolicy")),
    ),
    "rolebindings": (Column("Role", _role_of), AGE),
    "clusterrolebindings": (Column("Role", _role_of), AGE),
    "configmaps": (Column("Data", _count("data")), AGE),
    "customresourcedefinitions": (Column("Created At", _at("metadata", "creationTimestamp")),),
}

EVENT_COLUMNS = (
    Column("Last Seen", _core_cell(_last_seen)),
    Column("Type", _at("type")),
    Column("Reason", _at("reason")),
    Column("Object", _core_cell(_involved_object)),
    Column("Subobject", _core_cell(_at("involvedObject", "fieldPath")), priority=1),
    Column("Source", _core_cell(_event_source), priority=1),
    Column("Message", _core_cell(lambda event: (event.get("message") or "").strip())),
    Column("First Seen", _core_cell(_first_seen), priority=1),
    Column("Count", _core_cell(_event_count), priority=1),
)
"""The name is the last column, and only with `-o wide` (pkg/printers/internalversion/printers.go)."""
