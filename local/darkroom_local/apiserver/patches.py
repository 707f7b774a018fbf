"""The three kinds of patch: JSON merge (RFC 7386), JSON (RFC 6902), strategic merge. Pure; called by verbs."""

from typing import Any

import jsonpatch

from darkroom_local.apiserver.documents import Json
from darkroom_local.apiserver.errors import StatusError, bad_request, unsupported_media
from darkroom_local.apiserver.registry import Resource

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
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
    "addresses": "type",
}
"""Lists of objects that are merged item by item, and by which key (`patchMergeKey` in Kubernetes' types)."""
MERGED_SETS = frozenset({"finalizers"})


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
    try:
        patched = jsonpatch.apply_patch(current, patch)
    except jsonpatch.JsonPatchTestFailed as error:
        raise StatusError(
            422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
        ) from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError) as error:
        raise bad_request(f"the JSON patch can't be applied: {error}") from error
    if not isinstance(patched, dict):
        raise bad_request("the JSON patch leaves no object")
    return patched


def strategic(target: Any, patch: Any) -> Any:
    """Merge patch, but lists with a merge key item by item, and `$patch` directives."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        elif isinstance(value, list) and key in MERGE_KEYS:
            result[key] = _merge_list(result.get(key) or [], value, MERGE_KEYS[key])
        elif isinstance(value, list) and key in MERGED_SETS:
            result[key] = list(dict.fromkeys([*(result.get(key) or []), *value]))
        else:
            result[key] = strategic(result.get(key), value)
    return _without_deleted_primitives(result, patch)


def _without_deleted_primitives(result: Json, patch: Json) -> Json:
    for directive, values in patch.items():
        if directive.startswith("$deleteFromPrimitiveList/"):
            key = directive.partition("/")[2]
            result[key] = [each for each in result.get(key) or [] if each not in values]
    return result


def _merge_list(current: list[Any], patch: list[Any], key: str) -> list[Any]:
    if any(isinstance(each, dict) and each.get("$patch") == "replace" for each in patch):
        return [each for each in patch if each.get("$patch") != "replace"]
    merged = {each.get(key): each for each in current}
    for each in patch:
        if each.get("$patch") == "delete":
            merged.pop(each.get(key), None)
        else:
            merged[each.get(key)] = strategic(merged.get(each.get(key)), each)
    return list(merged.values())
