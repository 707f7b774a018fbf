"""Times, durations and sizes in words."""

from datetime import UTC, datetime

from darkroom_contract.progress import Stage


def stage_name(stage: str | None, kind: str) -> str:
    """As on the page. A stage of a later release keeps its name."""
    return Stage(stage).in_words(kind) if stage in set(Stage) else stage or "Running"


def stage_unit(stage: str | None) -> str:
    return Stage(stage).unit if stage in set(Stage) else "step"


def place(position: int) -> str:
    """In the queue; `position` is the number of waiting jobs before it."""
    return f"{position} ahead" if position else "next"


def age(since: datetime | None, now: datetime | None = None) -> str:
    """Such as 5m, 3h or 2d; empty when the time is unknown."""
    if since is None:
        return ""
    return duration(((now or datetime.now(UTC)) - since).total_seconds())


def duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def moment(when: datetime | None) -> str:
    """In the time zone of this machine."""
    return "" if when is None else when.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size_in_words(size_bytes: int) -> str:
    for size, unit in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes} bytes"
