"""Atomic writes of files that only their owner can read."""

import os
from pathlib import Path

DRAFT_SUFFIX = ".new"


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, with mode 0600. After a crash the old or the new content is there, whole."""
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
