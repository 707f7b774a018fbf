"""Fixtures shared by the tests of `local`: waiting for a condition, and whether a process is alive."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.waiting import waiter

TIMEOUT_SECONDS = 60

_wait_until = waiter(TIMEOUT_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        return "Z (zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """Returns the condition's value as soon as it is truthy; fails after a timeout."""
    return _wait_until


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    """Whether a process exists and is not a zombie."""
    return _is_alive
