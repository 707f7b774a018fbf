"""The three patch types: JSON merge (RFC 7386), JSON (RFC 6902) and strategic merge. Pure."""

from typing import Any

import jsonpatch

from darkroom_local.apiserver.apimachinery.errors import StatusError, bad_request, unsupported_media
from darkroom_local.apiserver.apimachinery.unstructured import Json
from darkroom_local.apiserver.resources.resource import Resource

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"

MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "schedulingGates": "name",
    "imagePullSecrets": "name",
    "secrets": "name",
    "volumeMounts": "mountPath",
    "conditions": "type",
    "ownerReferences": "uid",
    "addresses": "type",
    "hostAliases": "ip",
}
"""Lists of objects that are merged by item, and their keys (`patchMergeKey` in Kubernetes' types)."""
MERGED_SETS = frozenset({"finalizers"})


def merge_key(name: str, items: list[Any]) -> str | None:
    """The key that identifies the items of a built-in kind's list, or None if a patch replaces the whole list."""
    if name == "ports":  # Of a container, or of a service.
        of_container = any(isinstance(item, dict) and "containerPort" in item for item in items)
        return "containerPort" if of_container else "port"
    return MERGE_KEYS.get(name)


def apply_patch(content_type: str, current: Json, patch: Any, resource: Resource) -> Json:
    """The patched document; `current` may be changed. Raises 400, 415 or 422."""
    known = [JSON, MERGE, APPLY] if resource.custom else [JSON, MERGE, STRATEGIC, APPLY]
    if content_type not in known:
        raise unsupported_media(content_type, known)
    if content_type == JSON:
        return _json_patch(current, patch)
    if not isinstance(patch, dict):
        raise bad_request("a merge patch must be a JSON object")
    merged: Json = merge(current, patch) if content_type == MERGE else strategic(current, patch)
    return merged


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _json_patch(current: Json, patch: Any) -> Json:
    if not isinstance(patch, list):
        raise bad_request("a JSON patch must be a list of operations")
    try:
        patched = jsonpatch.apply_patch(current, patch)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"invalid JSON patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError) as error:
        why = f"the server rejected our request due to an error in our request: {error}"
        raise StatusError(422, "Invalid", why) from error
    if not isinstance(patched, dict):
        raise bad_request("the result of the JSON patch is not an object")
    return patched


def strategic(target: Any, patch: Any) -> Any:
    """A merge patch that merges lists with a merge key by item, and follows `$patch` directives."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            result.pop(key, None)
        else:
            result[key] = _strategic_value(key, result.get(key), value)
    return _without_deleted_primitives(result, patch)


def _strategic_value(key: str, current: Any, value: Any) -> Any:
    if not isinstance(value, list):
        return strategic(current, value)
    before = current if isinstance(current, list) else []
    if key in MERGED_SETS:
        return list(dict.fromkeys([*before, *value]))
    name = merge_key(key, [*before, *value])
    if name is None or not all(isinstance(each, dict) for each in [*before, *value]):
        return value
    return _merge_list(before, value, name)


def _without_deleted_primitives(result: Json, patch: Json) -> Json:
    for directive, values in patch.items():
        if directive.startswith("$deleteFromPrimitiveList/"):
            key = directive.partition("/")[2]
            result[key] = [each for each in result.get(key) or [] if each not in values]
    return result


def _merge_list(current: list[Json], patch: list[Json], key: str) -> list[Json]:
    if any(each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if each.get("$patch") != "replace"]
    merged = {each.get(key): each for each in current}
    for each in patch:
        if each.get("$patch") == "delete":
            merged.pop(each.get(key), None)
        else:
            merged[each.get(key)] = strategic(merged.get(each.get(key)), each)
    return list(merged.values())
