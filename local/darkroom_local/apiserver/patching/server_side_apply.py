"""Who manages which field: server-side apply, and what other writes change of it. Pure; called by `verbs.py`.

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
from darkroom_local.apiserver.resources.registry import Resource

NONE: FieldSet = frozenset()
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, order=True)
class Manager:
    """Who writes, how, and to which part."""

    name: str
    operation: str
    """Apply or Update."""
    subresource: str = ""


Managers = dict[Manager, FieldSet]


def server_side_apply(
    current: Json | None, applied: Json, who: str, force: bool, resource: Resource, subresource: str = ""
) -> Json:
    """The object after `who` applied its fields. `current` may be changed. Raises 409 when another manages them."""
    typing, manager = FieldType.of(resource), Manager(who, "Apply", subresource)
    wanted = _applicable(applied, resource, subresource)
    mine = fields_of(wanted, typing)
    entries = _read(current)
    before = entries.pop(manager, NONE)
    result: Json = wanted
    if current is not None:
        entries = _resolve_conflicts(current, wanted, mine, entries, force, _last_applied(current, typing, who))
        result = _merge(current, wanted, typing)
        for path in _removable(before - mine, entries):
            remove(result, path)
    result["metadata"]["managedFields"] = _write({**entries, manager: mine}, current, resource)
    return result


def track(old: Json | None, new: Json, who: str, resource: Resource, subresource: str = "") -> None:
    """Note in `new` who manages what it changes of `old`: the writer takes over what it changed."""
    typing, manager = FieldType.of(resource), Manager(who, "Update", subresource)
    before = fields_of(old, typing) if old else NONE
    after = fields_of(new, typing)
    changed = {path for path in after if path not in before or (not is_item(path) and _differs(old, new, path))}
    gone = before - after
    source = new if "managedFields" in new["metadata"] else old
    entries = {each: fields - changed - gone for each, fields in _read(source).items()}
    if changed:
        entries[manager] = entries.get(manager, NONE) | changed
    new["metadata"]["managedFields"] = _write(entries, old, resource)


def same_managers(old: Json, new: Json) -> bool:
    """Whether the same ones manage the same fields."""
    return _read(old) == _read(new)


def _differs(old: Json | None, new: Json, path: Path) -> bool:
    return bool(find(old, path) != find(new, path))


def _applicable(applied: Json, resource: Resource, subresource: str) -> Json:
    """What of an applied document may be set here."""
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


def _last_applied(current: Json, typing: FieldType, who: str) -> FieldSet:
    """What kubectl has applied on the client's side before, and nobody has changed since: it may take that over.

    As apimachinery's lastAppliedManager has it, so that people can go over to server-side apply.
    """
    annotation = ((current["metadata"].get("annotations")) or {}).get(LAST_APPLIED)
    if who != "kubectl" or not annotation:
        return NONE
    try:
        applied = json.loads(annotation)
        fields = fields_of(applied, typing)
    except (ValueError, AttributeError):  # People may write anything there.
        return NONE
    return frozenset(path for path in fields if not _differs(current, applied, path))


def _resolve_conflicts(
    current: Json, wanted: Json, mine: FieldSet, entries: Managers, force: bool, allowed: FieldSet
) -> Managers:
    """What the other managers keep. Raises 409 unless forced, or allowed for each contested field."""
    contested = frozenset(path for path in mine if not is_item(path) and _differs(current, wanted, path))
    conflicts = [(other, path) for other, fields in sorted(entries.items()) for path in sorted(fields & contested)]
    if not force and any(path not in allowed for _, path in conflicts):
        raise _conflict([(other, path) for other, path in conflicts if path not in allowed])
    return {other: fields - contested for other, fields in entries.items()}


def _removable(dropped: FieldSet, others: Managers) -> list[Path]:
    """Which of the fields that its manager no longer applies nobody else holds; an item before its own fields."""
    held = NONE.union(*others.values())
    within = {path[:length] for path in held for length in range(1, len(path) + 1)}
    return sorted(dropped - within, key=len)


def _merge(current: Any, wanted: Any, typing: FieldType) -> Any:
    if isinstance(current, dict) and isinstance(wanted, dict) and not typing.is_atomic():
        merged = dict(current)
        for name, value in wanted.items():
            merged[name] = _merge(current.get(name), value, typing.field(name))
        return merged
    steps = steps_into(wanted, typing) if isinstance(wanted, list) else None
    known = steps_into(current, typing) if isinstance(current, list) else None
    if steps is None or known is None:
        return wanted
    items = dict(known)
    for step, item in steps:
        items[step] = _merge(items.get(step), item, typing.item())
    return list(items.values())


def _conflict(conflicts: list[tuple[Manager, Path]]) -> StatusError:
    causes, told = [], []
    for other, path in conflicts:
        field, why = _path_text(path), f'conflict with "{other.name}"'
        causes.append({"reason": "FieldManagerConflict", "message": why, "field": field})
        told.append(f"{why}: {field}")
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    return StatusError(409, "Conflict", f"Apply failed with {count}: {', '.join(told)}", {"causes": causes})


def _path_text(path: Path) -> str:
    """`.spec.containers[name="main"].image`, as Kubernetes writes a path."""
    return "".join(_step_text(step[0], step[2:]) for step in path)


def _step_text(kind: str, name: str) -> str:
    if kind == "f":
        return f".{name}"
    if kind == "v":
        return f"[={name}]"
    return "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(name).items()) + "]"


def _read(document: Json | None) -> Managers:
    found = (document or {}).get("metadata", {}).get("managedFields") or []
    return {
        Manager(each["manager"], each.get("operation", "Update"), each.get("subresource", "")): from_fields_v1(
            each.get("fieldsV1") or {}
        )
        for each in found
        if each.get("manager")
    }


def _write(entries: Managers, old: Json | None, resource: Resource) -> list[Json]:
    """The list for the metadata; an entry that stays the same keeps its time."""
    before, present = _read(old), now()
    listed = (old or {}).get("metadata", {}).get("managedFields") or []
    times = {Manager(each["manager"], each["operation"], each.get("subresource", "")): each["time"] for each in listed}
    return [
        _entry(manager, fields, times[manager] if before.get(manager) == fields else present, resource)
        for manager, fields in sorted(entries.items())
        if fields
    ]


def _entry(manager: Manager, fields: FieldSet, time: str, resource: Resource) -> Json:
    entry = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": resource.group_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(fields),
    }
    return entry | ({"subresource": manager.subresource} if manager.subresource else {})
