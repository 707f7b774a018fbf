"""What the tests of the local room share: waiting for a condition, programs, and whether a process is there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.waiting import patience

PATIENCE_SECONDS = 60

_wait_until = patience(PATIENCE_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """What a condition returns as soon as it is true of something; fails when it never is in time."""
    return _wait_until


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process exists and is no zombie."""
    return _is_alive
