"""Stands in for `python -m MODULE`: has the warm parent fork the module, and ends as that process ends.

Run by path with `-IS`, as `forking-python` beside `warm-parent.json`: it imports the standard library only. Whatever
the warm parent can't provide (another environment, or the parent has ended) runs in a new interpreter instead.
"""

import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
IMPORT_TIME_PREFIXES = (
    *("ACCELERATE_", "CUDA_", "DIFFUSERS_", "HF_", "KMP_", "LANG", "LC_", "LD_", "MALLOC_", "MKL_", "NUMPY_"),
    *("NVIDIA_", "OMP_", "OPENBLAS_", "PYTHON", "PYTORCH_", "TORCH", "TRANSFORMERS_", "XDG_"),
)
LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


def import_time_settings(package: str) -> dict[str, str]:
    """What libraries read of the environment as they are imported; a fork must have had the same.

    The runner's libraries find the hub's cache by HOME, unless HF_HOME is set.
    """
    settings = {name: value for name, value in os.environ.items() if name.startswith(IMPORT_TIME_PREFIXES)}
    if package == "darkroom_runner" and "HF_HOME" not in os.environ:
        settings["HOME"] = os.environ.get("HOME", "")
    return settings


def main() -> None:
    module = sys.argv[2] if sys.argv[1:2] == ["-m"] else ""
    settings = _settings_of(module.partition(".")[0])
    if module and settings["import_time"] == import_time_settings(settings["package"]):
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(settings["socket"])
            except OSError:
                pass
            else:
                _end_as(_run(connection, module))
    python = str(Path(__file__).with_name("python"))
    os.execv(python, [python, *sys.argv[1:]])


def _settings_of(package: str) -> dict[str, Any]:
    """Of the package's own warm parent, if the bin folder has a link to it."""
    own = Path(__file__).with_name(f"warm-parent-{package}.json")
    settings = own if own.exists() else Path(__file__).with_name("warm-parent.json")
    found: dict[str, Any] = json.loads(settings.read_text())
    return found


def _run(connection: socket.socket, module: str) -> int:
    """The wait status of the fork. It holds the reading end of a pipe of ours, and is killed when we are gone."""
    leash, _ours = os.pipe()
    request = json.dumps(
        {
            "module": module,
            "arguments": sys.argv[3:],
            "environment": dict(os.environ),
            "directory": os.getcwd(),
            "umask": _umask(),
            "limits": [(limit, *resource.getrlimit(limit)) for limit in LIMITS],
            "ignored": [each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN],
            "priority": os.getpriority(os.PRIO_PROCESS, 0),
        }
    ).encode()
    # One that comes before there is a fork waits until it can be passed on.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
    socket.send_fds(connection, [len(request).to_bytes(4)], [0, 1, 2, leash])
    connection.sendall(request)
    os.close(leash)
    _, [pidfd], _, _ = socket.recv_fds(connection, 1, 1)
    for each in FORWARDED:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, lambda number, frame: _pass_on(pidfd, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    for each in (0, 1, 2):
        os.close(each)
    return int(connection.makefile("rb").read())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _pass_on(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def _end_as(status: int) -> Any:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
