"""Kubernetes objects as plain JSON: timestamps and merge patches."""

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

PODS = "pods"
LEASES = "leases"


def instant(text: str | None) -> datetime | None:
    """Parse a `metav1.Time`."""
    return None if text is None else aware(datetime.fromisoformat(text))


def aware(moment: datetime) -> datetime:
    """The moment with a time zone: API servers accept a `date-time` without one, which Python can't compare."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def micro_time(moment: datetime) -> str:
    """Format a `metav1.MicroTime`, which has exactly six decimals."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def merge_patch(before: Json, after: Json) -> Json:
    """The JSON merge patch (RFC 7386) from `before` to `after`; empty when they are equal."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        patch[name] = merge_patch(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return patch
