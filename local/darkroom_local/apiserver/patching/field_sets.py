"""Sets of fields, in the format of `metadata.managedFields` (FieldsV1). Pure; used by `server_side_apply.py`.

A path is a tuple of steps: `f:name` for a field of an object, `k:{"type":"Ready"}` for the list item with these keys,
`v:"x"` for a member of a set. Scalars and atomic lists are leaves.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.patching.patches import MERGED_SETS, merge_key
from darkroom_local.apiserver.resources.resource import Resource

Path = tuple[str, ...]
FieldSet = frozenset[Path]

UNMANAGED = frozenset(
    {("f:apiVersion",), ("f:kind",)}
    | {("f:metadata", f"f:{field}") for field in ("name", "namespace", "generateName", "selfLink", "managedFields")}
    | {("f:metadata", f"f:{field}") for field in ("uid", "resourceVersion", "generation", "creationTimestamp")}
    | {("f:metadata", f"f:{field}") for field in ("deletionTimestamp", "deletionGracePeriodSeconds")}
)
"""Fields without a manager: the identity, and what the server itself writes."""


@dataclass(frozen=True)
class FieldType:
    """The type of a value: its schema node, or for built-in kinds (None) the name of its field."""

    schema: Json | None
    name: str = ""
    is_root: bool = False

    @classmethod
    def of(cls, resource: Resource) -> "FieldType":
        return cls(resource.custom.schema if resource.custom else None, is_root=True)

    def field(self, name: str) -> "FieldType":
        if self.schema is None or (self.is_root and name == "metadata"):
            return FieldType(None, name)
        others = self.schema.get("additionalProperties")
        found = self.schema.get("properties", {}).get(name, others)
        return FieldType(found if isinstance(found, dict) else {}, name)

    def item(self) -> "FieldType":
        return FieldType(None if self.schema is None else self.schema.get("items") or {})

    def keys(self, items: list[Any]) -> tuple[str, ...]:
        """The keys that identify a list's items; empty for a list that isn't merged by item."""
        if self.schema is None:
            key = merge_key(self.name, items)
            return (key,) if key else ()
        by_keys = self.schema.get("x-kubernetes-list-type") == "map"
        return tuple(self.schema.get("x-kubernetes-list-map-keys") or ()) if by_keys else ()

    def is_set(self) -> bool:
        if self.schema is None:
            return self.name in MERGED_SETS
        return bool(self.schema.get("x-kubernetes-list-type") == "set")

    def is_atomic(self) -> bool:
        return bool((self.schema or {}).get("x-kubernetes-map-type") == "atomic")


def fields_of(document: Json, field_type: FieldType) -> FieldSet:
    """All leaves and list items of an object, except those without a manager."""
    return frozenset(_walk(document, field_type, ())) - UNMANAGED


def _walk(value: Any, field_type: FieldType, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value and not field_type.is_atomic():
        for name, item in value.items():
            yield from _walk(item, field_type.field(name), (*path, f"f:{name}"))
        return
    steps = steps_into(value, field_type) if isinstance(value, list) else None
    if not steps:
        yield path
        return
    for step, item in steps:
        yield (*path, step)
        if isinstance(item, dict):
            for name, child in item.items():
                yield from _walk(child, field_type.item().field(name), (*path, step, f"f:{name}"))


def steps_into(items: list[Any], field_type: FieldType) -> list[tuple[str, Any]] | None:
    """The items of a list with their steps, or None if the list is atomic."""
    if keys := field_type.keys(items):
        return [(key_step(item, keys), item) for item in items if isinstance(item, dict)]
    return [(f"v:{json.dumps(item)}", item) for item in items] if field_type.is_set() else None


def key_step(item: Json, keys: tuple[str, ...]) -> str:
    return "k:" + json.dumps({key: item.get(key) for key in sorted(keys)}, separators=(",", ":"))


def is_item(path: Path) -> bool:
    """Whether a path names a list item rather than a value."""
    return path[-1][0] in "kv"


def find(document: Any, path: Path) -> Any:
    """The value at a path, or None."""
    for step in path:
        document = _enter(document, step)
        if document is None:
            return None
    return document


def _enter(value: Any, step: str) -> Any:
    kind, name = step[0], step[2:]
    if kind == "f":
        return value.get(name) if isinstance(value, dict) else None
    wanted = json.loads(name)
    for item in value if isinstance(value, list) else ():
        if _is_named(item, kind, wanted):
            return item
    return None


def _is_named(item: Any, kind: str, wanted: Any) -> bool:
    if kind == "v":
        return bool(item == wanted)
    return isinstance(item, dict) and all(item.get(key) == value for key, value in wanted.items())


def remove(document: Any, path: Path) -> None:
    """Remove the value at a path, in place, and the objects and lists that become empty."""
    step, rest = path[0], path[1:]
    inner = _enter(document, step)
    if inner is None and not (step[0] == "f" and isinstance(document, dict)):
        return
    if rest:
        remove(inner, rest)
        if inner:
            return
    if step[0] == "f":
        document.pop(step[2:], None)
    elif inner in document:
        document.remove(inner)


def to_fields_v1(fields: FieldSet) -> Json:
    """The set as a tree; `.` marks a list item that is itself in the set."""
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        if is_item(path) and path[-1][0] == "k":
            node["."] = {}
    return tree


def from_fields_v1(tree: Json) -> FieldSet:
    return frozenset(_paths(tree, ()))


def _paths(tree: Json, path: Path) -> Iterator[Path]:
    if path and (not tree or "." in tree):
        yield path
    for step, inner in tree.items():
        if step != ".":
            yield from _paths(inner, (*path, step))
