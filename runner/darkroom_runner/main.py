"""`darkroom-runner`: one run. The entry point, called by the container.

The work is done by a process of its own (`work.py`). This one hands on what that says, keeps it as the run's log, and
ends as it ends: so the log is in storage even of a run that was killed or that brought its interpreter down.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from typing import NoReturn

from darkroom_runner.run_log import Escaping, RunLog, open_run_log

_CHUNK_BYTES = 64 * 1024
_LAST_WORDS_SECONDS = 2.0
"""For what is still in the pipe when the work has ended."""
_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    work = _start_work()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: work.send_signal(number))
    log = open_run_log(os.environ)
    copying = threading.Thread(target=_copy, args=(work, log), name="copy", daemon=True)
    copying.start()
    status = work.wait()
    copying.join(_LAST_WORDS_SECONDS)
    log.close()
    _leave(status)


def _start_work() -> subprocess.Popen[bytes]:
    ourselves = os.getpid()
    libc = ctypes.CDLL(None)

    def die_with_us() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != ourselves:
            os._exit(1)

    return subprocess.Popen(
        [sys.executable, "-m", "darkroom_runner.work"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_us,
    )


def _copy(work: subprocess.Popen[bytes], log: RunLog) -> None:
    """Until the last who could write has ended."""
    if work.stdout is None:
        raise RuntimeError("the work was started without a pipe")
    escape = Escaping()
    while read := os.read(work.stdout.fileno(), _CHUNK_BYTES):
        chunk = escape(read)
        log.add(chunk)
        # Who reads our output may be gone: the pipe must still be emptied, or the work would wait for that for ever.
        with contextlib.suppress(OSError):
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()


def _leave(status: int) -> NoReturn:
    """As the work did: a signal's death is one of our own, so that the kubelet tells of it as ever."""
    if status < 0:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    # The first process of a container can't kill itself.
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
