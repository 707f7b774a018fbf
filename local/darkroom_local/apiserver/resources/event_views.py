"""The two views of Events, as in Kubernetes: core `v1` and `events.k8s.io/v1` serve the same objects. Pure.

The store keeps them as core `v1`; reads, writes and watches convert.
"""

from darkroom_local.apiserver.apimachinery.selectors import Predicate
from darkroom_local.apiserver.apimachinery.unstructured import Json, dig
from darkroom_local.apiserver.resources.resource import EVENTS

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
"""Core field names, and their names in events.k8s.io/v1 (pkg/apis/events/v1/conversion.go)."""
_CORE_NAMES = {view: core for core, view in _RENAMED.items()}

_REFERENCE = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
CORE_FIELDS = frozenset(
    {f"involvedObject.{field}" for field in _REFERENCE} | {"reason", "reportingComponent", "source", "type"}
)
FIELDS = frozenset({f"regarding.{field}" for field in _REFERENCE} | {"reason", "reportingController", "type"})
"""The fields that a field selector may name in each view."""


def to_core(document: Json) -> Json:
    """The Event as core `v1`."""
    if document.get("apiVersion") != GROUP_VERSION:
        return document
    renamed = {_CORE_NAMES.get(field, field): value for field, value in document.items()}
    return renamed | {"apiVersion": "v1"}


def to_view(document: Json, group_version: str) -> Json:
    """The Event in this version."""
    core = to_core(document)
    if group_version != GROUP_VERSION:
        return core
    return {_RENAMED.get(field, field): value for field, value in core.items()} | {"apiVersion": GROUP_VERSION}


def to_stored(collection: str, document: Json) -> Json:
    """An object of any kind in the form that the store keeps."""
    return to_core(document) if collection == EVENTS else document


def event_selector(collection: str, matches: Predicate) -> Predicate:
    """A selector for any kind. For Events, `source` means the component, or else the controller."""
    return (lambda document: matches(_selectable(document))) if collection == EVENTS else matches


def _selectable(document: Json) -> Json:
    component = dig(document, ("source", "component")) or document.get("reportingComponent")
    return document | {"source": component}
