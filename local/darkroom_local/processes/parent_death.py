"""Starts a program that the kernel kills when its parent process dies (PR_SET_PDEATHSIG).

Used by the supervisor and by the node for every process they start. Runs as a script by its path, so it imports only
the standard library. A launcher instead of `preexec_fn`, which can deadlock in a process with threads.

The signal is sent when the *thread* that started the process ends (prctl(2)). Both callers therefore start processes
from the thread of an event loop that lives as long as they do.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""

NOT_STARTED = 127
"""Exit code when the program can't be executed, as in shells."""


def die_with_parent(command: Sequence[str], start_fd: int | None = None) -> list[str]:
    """The command line that runs `command` and is killed when the calling process dies.

    With `start_fd`, the inherited read end of a pipe, the program starts only after a byte was written to the pipe, and
    never when the pipe is closed first. So the caller can record the start before it happens.
    """
    fd = "-" if start_fd is None else str(start_fd)
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), fd, *command]


def set_parent_death_signal(parent_pid: int) -> None:
    """Request SIGKILL at the parent's death, and exit if the parent is dead already."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        sys.exit(NOT_STARTED)


def wait_for_start(fd: int) -> None:
    """Block until the parent writes a byte; exit when it closes the pipe instead."""
    if os.read(fd, 1) == b"":
        sys.exit(NOT_STARTED)
    os.close(fd)


def main() -> None:
    parent_pid, start_fd, *command = sys.argv[1:]
    set_parent_death_signal(int(parent_pid))
    if start_fd != "-":
        wait_for_start(int(start_fd))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)  # Python ignores both, and exec would pass that on.
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
