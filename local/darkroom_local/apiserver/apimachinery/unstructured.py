"""Kubernetes objects as plain JSON dictionaries, and their common fields (apimachinery's `unstructured`). Pure."""

import copy
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


def clone(value: Any) -> Any:
    """A deep copy of JSON data; several times as fast as `copy.deepcopy`."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else copy.deepcopy(value)


def encode(value: Any) -> str:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def timestamp(instant: datetime) -> str:
    """A time in UTC, to the second, as Kubernetes writes it (metav1.Time)."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def now() -> str:
    """The current timestamp."""
    return timestamp(datetime.now(UTC))


def meta(document: Json) -> Json:
    """The object's metadata, added if missing."""
    metadata: Json = document.setdefault("metadata", {})
    return metadata


def key_of(document: Json) -> Key:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def dig(value: Any, path: Iterable[str]) -> Any:
    """The value at a path of keys, or None."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def is_being_deleted(document: Json) -> bool:
    return "deletionTimestamp" in document.get("metadata", {})


def owners(document: Json) -> Iterator[Json]:
    yield from document.get("metadata", {}).get("ownerReferences") or []


def find_condition(document: Json, kind: str) -> Json | None:
    """The status condition of this type, or None."""
    conditions = dig(document, ("status", "conditions")) or []
    return next((each for each in conditions if each.get("type") == kind), None)


def equal_ignoring(first: Json, second: Json, ignored: frozenset[str]) -> bool:
    """Equality of two objects that ignores some keys of the metadata."""
    return _without(first, ignored) == _without(second, ignored)


def _without(document: Json, ignored: frozenset[str]) -> Json:
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key not in ignored}
    return document | {"metadata": metadata}
