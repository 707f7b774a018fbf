"""`darkroom-runner`: the container's entry point, for one run, or several one after another.

A child process does the work (`worker`). This process forwards its output, uploads it as the log of each run, and exits
the way the child did: so the log reaches storage even if the run was killed or crashed its interpreter.
"""

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

from darkroom_contract import environment as names

if TYPE_CHECKING:
    from darkroom_runner.run.log_channel import LogRequests
    from darkroom_runner.run.run_log import RunLog, RunLogs

_CHUNK_BYTES = 64 * 1024
_DRAIN_SECONDS = 2.0
"""Time to read the rest of the pipe after the worker has exited."""
_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    ours, theirs = socket.socketpair()
    # Only a worker of several runs asks for anything.
    worker = _start_worker(theirs.fileno() if os.environ.get(names.WARM_SECONDS) else None)
    theirs.close()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda number, frame: worker.send_signal(number))
    # Imported while the worker starts: on another core than it.
    from darkroom_runner.run.log_channel import LogRequests
    from darkroom_runner.run.run_log import RunLogs

    logs = RunLogs(os.environ)
    copying = threading.Thread(
        target=_copy_output, args=(worker, logs, LogRequests(ours, logs)), name="copy", daemon=True
    )
    copying.start()
    status = worker.wait()
    copying.join(_DRAIN_SECONDS)
    logs.finish()
    _exit_like(status)


def _start_worker(stdin: int | None) -> subprocess.Popen[bytes]:
    parent = os.getpid()
    libc = ctypes.CDLL(None)

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return subprocess.Popen(
        [sys.executable, "-m", "darkroom_runner.worker"],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )


def _copy_output(
    worker: subprocess.Popen[bytes], log: "RunLog | RunLogs", requests: "LogRequests | None" = None
) -> None:
    """Copy to stderr and to the log until every process that holds the pipe's write end has exited.

    All output that was written before a request is copied before the request is carried out.
    """
    from darkroom_runner.run.run_log import ControlCharacterEscaper

    if worker.stdout is None:
        raise RuntimeError("the worker was started without a pipe")
    output, escape = worker.stdout.fileno(), ControlCharacterEscaper()
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        if requests is not None:
            selector.register(requests, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if output in ready:
                if not (read := os.read(output, _CHUNK_BYTES)):
                    return
                _copy(escape(read), log)
            elif requests is not None and not requests.handle():
                selector.unregister(requests)


def _copy(chunk: bytes, log: "RunLog | RunLogs") -> None:
    log.add(chunk)
    # The reader of our stderr may be gone. Keep draining the pipe, or the worker would block on it forever.
    with contextlib.suppress(OSError):
        sys.stderr.buffer.write(chunk)
        sys.stderr.buffer.flush()


def _exit_like(status: int) -> NoReturn:
    """Exit with the worker's status, or die from the same signal, so that the kubelet reports the true cause."""
    if status < 0:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    # Process 1 of a container can't kill itself.
    sys.exit(status if status >= 0 else 128 - status)


if __name__ == "__main__":
    main()
