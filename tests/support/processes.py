"""Reads /proc about processes."""

import os
from pathlib import Path


def children(parent: int) -> list[int]:
    """The processes that a process started and that have not ended, in the order of their numbers."""
    return [pid for pid in _pids() if _stat(pid)[1:2] == [str(parent)] and _stat(pid)[0] != "Z"]


def is_alive(pid: int) -> bool:
    return _stat(pid)[:1] not in ([], ["Z"])


def group_is_alive(group: int) -> bool:
    """Whether a process of the group has not ended. Zombies, which a container without an init may keep, have."""
    return any(_stat(pid)[2:3] == [str(group)] and is_alive(pid) for pid in _pids())


def environment(pid: int) -> dict[str, str]:
    """The environment that the process was started with."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


def limits(pid: int) -> dict[str, str]:
    """Its soft limits by name, as `/proc/PID/limits` has them."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[25:].split()[0] for line in lines}


def _pids() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def _stat(pid: int) -> list[str]:
    """From the state on (proc_pid_stat(5)); nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
