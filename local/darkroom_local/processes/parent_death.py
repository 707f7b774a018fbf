"""Ties a process to the life of its parent, then becomes the program it was asked to start.

Used by the supervisor and by the node for everything they start; run as a script by its path, so it may import nothing
but the standard library. A launcher in place of `preexec_fn`, which may deadlock in a process that has threads.

The signal comes when the *thread* that started the process ends (prctl(2)), so both callers start processes from the
thread of an event loop that lives as long as they do.
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
"""Exit code for a program that can't be executed, as shells have it."""


def die_with_parent(command: Sequence[str], go_fd: int | None = None) -> list[str]:
    """The command line that runs `command` and kills it when the calling process dies.

    With `go_fd` (the reading end of a pipe, to be passed on) the program begins only once a byte was written to it, and
    never when the pipe is closed before: so that its start can be recorded before it happens.
    """
    fd = "-" if go_fd is None else str(go_fd)
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(os.getpid()), fd, *command]


def die_with(parent_pid: int) -> None:
    """Ask the kernel for SIGKILL at the parent's death, and leave at once if it came before we asked."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        sys.exit(NOT_STARTED)


def wait_for_go(fd: int) -> None:
    """Block until the parent says go; leave when it closed the pipe without a word."""
    if os.read(fd, 1) == b"":
        sys.exit(NOT_STARTED)
    os.close(fd)


def main() -> None:
    parent_pid, go_fd, *command = sys.argv[1:]
    die_with(int(parent_pid))
    if go_fd != "-":
        wait_for_go(int(go_fd))
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)  # Python ignores both, and exec would hand that on.
    try:
        os.execv(command[0], command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main()
