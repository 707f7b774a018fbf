"""Kubernetes documents as plain JSON, and what they have in common. Used by every part that reads or writes them."""

from datetime import datetime
from typing import Any

Json = dict[str, Any]


def revision(document: Json) -> int:
    """An object's resource version as the increasing number that it is.

    Kubernetes promises since 1.35 that those of one resource can be compared (KEP-5504); etcd's always could be.
    """
    return int(document["metadata"]["resourceVersion"])


def instant(text: str | None) -> datetime | None:
    """A `metav1.Time`."""
    return None if text is None else datetime.fromisoformat(text)


def merge_patch(before: Json, after: Json) -> Json:
    """The JSON merge patch (RFC 7386) that turns one document into the other; empty when they are equal."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        patch[name] = merge_patch(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch
