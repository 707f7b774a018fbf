"""Finds the process that runs in place of a `forking-python`, for tests that freeze it or need its process id."""

import contextlib
import re
from pathlib import Path

PID = re.compile(r"^Pid:\t(\d+)$", re.MULTILINE)


def fork_of(client_pid: int) -> int | None:
    """By the descriptor that the client has of it, see pidfd_open(2); None before the fork and after its end."""
    for info in Path(f"/proc/{client_pid}/fdinfo").glob("*"):
        with contextlib.suppress(OSError):
            if found := PID.search(info.read_text()):
                return int(found[1])
    return None


def behind(client_pid: int) -> int:
    """The process that does the work: the fork, or the process itself where it runs without one."""
    return fork_of(client_pid) or client_pid
