"""Server-side apply, and the field managers that every write updates. Pure.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

import json
from dataclasses import dataclass
from typing import Any

from darkroom_local.apiserver.apimachinery.errors import StatusError
from darkroom_local.apiserver.apimachinery.unstructured import Json, clone, now
from darkroom_local.apiserver.patching.field_sets import (
    FieldSet,
    FieldType,
    Path,
    fields_of,
    find,
    from_fields_v1,
    is_item,
    remove,
    steps_into,
    to_fields_v1,
)
from darkroom_local.apiserver.resources.resource import Resource

NONE: FieldSet = frozenset()
MISSING = object()
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, order=True)
class FieldManager:
    """A writer, its operation, and the subresource it writes to."""

    name: str
    operation: str
    """Apply or Update."""
    subresource: str = ""


FieldManagers = dict[FieldManager, FieldSet]


def server_side_apply(
    current: Json | None, applied: Json, writer: str, force: bool, resource: Resource, subresource: str = ""
) -> Json:
    """The object after `writer` applied its fields. May change `current`. Raises 409 if another manager owns some."""
    field_type, manager = FieldType.of(resource), FieldManager(writer, "Apply", subresource)
    wanted = _applicable(applied, resource, subresource)
    own_fields = fields_of(wanted, field_type)
    entries = _read(current)
    before = entries.pop(manager, NONE)
    result: Json = wanted
    if current is not None:
        entries = _resolve_conflicts(
            current, wanted, own_fields, entries, force, _last_applied(current, field_type, writer)
        )
        result = _merge(current, wanted, field_type)
        for path in _removable(before - own_fields, entries):
            remove(result, path)
    result["metadata"]["managedFields"] = _write({**entries, manager: own_fields}, current, resource)
    return result


def track(old: Json | None, new: Json, writer: str, resource: Resource, subresource: str = "") -> None:
    """Update the managed fields of `new`: its writer becomes the manager of all that differs from `old`."""
    field_type, manager = FieldType.of(resource), FieldManager(writer, "Update", subresource)
    before = _different_fields(old or {}, new, field_type)
    after = _different_fields(new, old or {}, field_type)
    changed = {path for path in after if path not in before or (not is_item(path) and _differs(old, new, path))}
    removed = before - after
    source = new if "managedFields" in new["metadata"] else old
    entries = {each: fields - changed - removed for each, fields in _read(source).items()}
    if changed:
        entries[manager] = entries.get(manager, NONE) | changed
    new["metadata"]["managedFields"] = _write(entries, old, resource)


def _different_fields(document: Json, other: Json, field_type: FieldType) -> FieldSet:
    """The fields of a document in those parts in which the other is different, down to the fields of spec and status:
    most of an object stays as it is in an update, and need not be walked through."""
    part: Json = {}
    for name, value in document.items():
        before = other.get(name, MISSING)
        if value == before:
            continue
        is_object = isinstance(value, dict) and isinstance(before, dict) and not field_type.field(name).is_atomic()
        fields = {key for key in value if value[key] != before.get(key, MISSING)} if is_object else set()
        if fields:
            part[name] = {key: value[key] for key in fields}
        elif not is_object or not value:
            part[name] = value
        # Otherwise only the other has something more. An empty object here would be a field of its own.
    return fields_of(part, field_type) if part else NONE


def same_managers(old: Json, new: Json) -> bool:
    """Whether both objects have the same managers of the same fields."""
    return _read(old) == _read(new)


def _differs(old: Json | None, new: Json, path: Path) -> bool:
    return bool(find(old, path) != find(new, path))


def _applicable(applied: Json, resource: Resource, subresource: str) -> Json:
    """The part of an applied object that this resource or subresource may set."""
    kept: Json = {key: value for key, value in clone(applied).items() if value is not None}
    metadata = kept.get("metadata") or {}
    server_owned = ("managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp")
    kept["metadata"] = {key: value for key, value in metadata.items() if key not in server_owned}
    if subresource == "status":
        identity = {key: kept["metadata"][key] for key in ("name", "namespace") if key in kept["metadata"]}
        envelope: Json = {key: kept[key] for key in ("apiVersion", "kind", "status") if key in kept}
        return {**envelope, "metadata": identity}
    if resource.has_status:
        kept.pop("status", None)
    return kept


def _last_applied(current: Json, field_type: FieldType, writer: str) -> FieldSet:
    """The fields that kubectl applied client-side and nobody changed since: kubectl may take these over.

    Like apimachinery's lastAppliedManager, for the migration to server-side apply.
    """
    annotation = ((current["metadata"].get("annotations")) or {}).get(LAST_APPLIED)
    if writer != "kubectl" or not annotation:
        return NONE
    try:
        applied = json.loads(annotation)
        fields = fields_of(applied, field_type)
    except (ValueError, AttributeError):  # The annotation may contain anything.
        return NONE
    return frozenset(path for path in fields if not _differs(current, applied, path))


def _resolve_conflicts(
    current: Json, wanted: Json, own_fields: FieldSet, entries: FieldManagers, force: bool, allowed: FieldSet
) -> FieldManagers:
    """The fields that other managers keep. Raises 409 unless forced, or allowed for every contested field."""
    contested = frozenset(path for path in own_fields if not is_item(path) and _differs(current, wanted, path))
    conflicts = [(other, path) for other, fields in sorted(entries.items()) for path in sorted(fields & contested)]
    if not force and any(path not in allowed for _, path in conflicts):
        raise _conflict([(other, path) for other, path in conflicts if path not in allowed])
    return {other: fields - contested for other, fields in entries.items()}


def _removable(dropped: FieldSet, others: FieldManagers) -> list[Path]:
    """The dropped fields that no other manager owns; a list item precedes its own fields."""
    owned = NONE.union(*others.values())
    within = {path[:length] for path in owned for length in range(1, len(path) + 1)}
    return sorted(dropped - within, key=len)


def _merge(current: Any, wanted: Any, field_type: FieldType) -> Any:
    if isinstance(current, dict) and isinstance(wanted, dict) and not field_type.is_atomic():
        merged = dict(current)
        for name, value in wanted.items():
            merged[name] = _merge(current.get(name), value, field_type.field(name))
        return merged
    steps = steps_into(wanted, field_type) if isinstance(wanted, list) else None
    known = steps_into(current, field_type) if isinstance(current, list) else None
    if steps is None or known is None:
        return wanted
    items = dict(known)
    for step, item in steps:
        items[step] = _merge(items.get(step), item, field_type.item())
    return list(items.values())


def _conflict(conflicts: list[tuple[FieldManager, Path]]) -> StatusError:
    causes, listed = [], []
    for other, path in conflicts:
        field, why = _path_text(path), f'conflict with "{other.name}"'
        causes.append({"reason": "FieldManagerConflict", "message": why, "field": field})
        listed.append(f"{why}: {field}")
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    return StatusError(409, "Conflict", f"Apply failed with {count}: {', '.join(listed)}", {"causes": causes})


def _path_text(path: Path) -> str:
    """A path as Kubernetes prints it: `.spec.containers[name="main"].image`."""
    return "".join(_step_text(step[0], step[2:]) for step in path)


def _step_text(kind: str, name: str) -> str:
    if kind == "f":
        return f".{name}"
    if kind == "v":
        return f"[={name}]"
    return "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(name).items()) + "]"


def _read(document: Json | None) -> FieldManagers:
    entries = _managed_fields(document)
    return {_manager_of(each): from_fields_v1(each.get("fieldsV1") or {}) for each in entries if each.get("manager")}


def _managed_fields(document: Json | None) -> list[Json]:
    return (document or {}).get("metadata", {}).get("managedFields") or []


def _manager_of(entry: Json) -> FieldManager:
    return FieldManager(entry["manager"], entry.get("operation", "Update"), entry.get("subresource", ""))


def _write(entries: FieldManagers, old: Json | None, resource: Resource) -> list[Json]:
    """The `managedFields` of the metadata; an unchanged entry keeps its time."""
    before, present = _read(old), now()
    known = {_manager_of(each): each for each in _managed_fields(old) if each.get("manager")}
    return [
        known[manager] if before.get(manager) == fields else _entry(manager, fields, present, resource)
        for manager, fields in sorted(entries.items())
        if fields
    ]


def _entry(manager: FieldManager, fields: FieldSet, time: str, resource: Resource) -> Json:
    entry = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": resource.group_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(fields),
    }
    return entry | ({"subresource": manager.subresource} if manager.subresource else {})
