"""Server-side apply: who manages which field. Pure; called by verbs.

A field is a path to a leaf; lists are leaves, except that they are merged item by item where strategic merge does so.
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from typing import Any

from darkroom_local.apiserver.documents import Json, clone, now
from darkroom_local.apiserver.errors import StatusError
from darkroom_local.apiserver.patches import merge, strategic
from darkroom_local.apiserver.registry import Resource

Path = tuple[str, ...]
IDENTITY = frozenset({("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")})
SERVER_OWNED = frozenset({"managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"})


def server_side_apply(current: Json | None, applied: Json, manager: str, force: bool, resource: Resource) -> Json:
    """The object after `manager` applied its fields. `current` may be changed. Raises 409 when another manages them."""
    wanted: Json = clone(applied)
    wanted["metadata"] = {key: each for key, each in (wanted.get("metadata") or {}).items() if key not in SERVER_OWNED}
    mine = _leaves(wanted) - IDENTITY
    entries = _entries(current)
    before = entries.pop(manager, frozenset())
    if current is None:
        result = wanted
    else:
        entries = _settle_conflicts(current, wanted, mine, entries, manager, force)
        others = frozenset().union(*entries.values())
        for path in before - mine - others:
            _remove(current, path)
        result = merge(current, wanted) if resource.custom else strategic(current, wanted)
    result["metadata"]["managedFields"] = [
        _entry(name, fields, resource) for name, fields in sorted({**entries, manager: mine}.items()) if fields
    ]
    return result


def _settle_conflicts(
    current: Json, wanted: Json, mine: frozenset[Path], entries: dict[str, frozenset[Path]], manager: str, force: bool
) -> dict[str, frozenset[Path]]:
    """What the other managers keep. Raises 409 unless forced."""
    contested = {path for path in mine if _at(current, path) != _at(wanted, path)}
    conflicts = [(other, path) for other, fields in sorted(entries.items()) for path in sorted(fields & contested)]
    if conflicts and not force:
        raise _conflict(conflicts)
    return {other: fields - contested for other, fields in entries.items()}


def _conflict(conflicts: list[tuple[str, Path]]) -> StatusError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{other}"', "field": "." + ".".join(path)}
        for other, path in conflicts
    ]
    others = ", ".join(f'conflict with "{cause["message"][15:-1]}": {cause["field"]}' for cause in causes)
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    return StatusError(409, "Conflict", f"Apply failed with {count}: {others}", {"causes": causes})


def _leaves(value: Any, path: Path = ()) -> frozenset[Path]:
    if isinstance(value, dict) and value:
        return frozenset().union(*(_leaves(each, (*path, key)) for key, each in value.items()))
    return frozenset({path}) if path else frozenset()


def _entries(current: Json | None) -> dict[str, frozenset[Path]]:
    managed = (current or {}).get("metadata", {}).get("managedFields") or []
    return {each["manager"]: _from_fields_v1(each.get("fieldsV1") or {}) for each in managed}


def _entry(manager: str, fields: frozenset[Path], resource: Resource) -> Json:
    return {
        "manager": manager,
        "operation": "Apply",
        "apiVersion": resource.group_version,
        "time": now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": _to_fields_v1(fields),
    }


def _to_fields_v1(fields: frozenset[Path]) -> Json:
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for key in path:
            node = node.setdefault(f"f:{key}", {})
    return tree


def _from_fields_v1(tree: Json, path: Path = ()) -> frozenset[Path]:
    if not tree:
        return frozenset({path}) if path else frozenset()
    return frozenset().union(*(_from_fields_v1(each, (*path, key.removeprefix("f:"))) for key, each in tree.items()))


def _at(document: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    return document


def _remove(document: Json, path: Path) -> None:
    """Remove a leaf, and the objects that it leaves empty."""
    if len(path) > 1 and isinstance(document.get(path[0]), dict):
        _remove(document[path[0]], path[1:])
        if not document[path[0]]:
            del document[path[0]]
    else:
        document.pop(path[0], None)
