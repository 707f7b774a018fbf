"""The socket through which the worker separates the logs of its runs in `main`.

It is the worker's standard input, so that programs that the worker starts don't inherit it. A request is a line,
and so is its answer: `finish`, answered when the current log is in storage, and `start` with the job's uid and the
attempt as JSON.
"""

import json
import os
import socket
import sys

from darkroom_runner.run.run_log import CLOSE_SECONDS, RunLogs

_FINISH, _START = b"finish", b"start "
_ANSWER = b"done\n"
_ANSWER_SECONDS = CLOSE_SECONDS + 2
_CHUNK_BYTES = 4096


class LogChannel:
    """The worker's end. Without `main` there is no log, and nothing happens."""

    def __init__(self) -> None:
        self._connection = _take_stdin()

    def finish(self) -> None:
        """Returns when all output so far is in storage, or the upload has failed."""
        self._ask(_FINISH)

    def start(self, uid: str, attempt: int) -> None:
        """All output from now on is in the log of this run."""
        self._ask(_START + json.dumps([uid, attempt]).encode())

    def _ask(self, request: bytes) -> None:
        if self._connection is None:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        # A timeout leaves the answer to the next request: logs are then cut at other lines, and nothing else.
        self._connection.sendall(request + b"\n")
        try:
            self._connection.recv(_CHUNK_BYTES)
        except TimeoutError:
            return


def _take_stdin() -> socket.socket | None:
    """Standard input as a socket; afterwards it is empty, for all others. None if it is something else."""
    descriptor = os.dup(0)
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        os.close(descriptor)
        return None
    connection.settimeout(_ANSWER_SECONDS)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return connection


class LogRequests:
    """The end of `main`: carries out the requests."""

    def __init__(self, connection: socket.socket, logs: RunLogs) -> None:
        self._connection = connection
        self._logs = logs
        self._received = b""

    def fileno(self) -> int:
        return self._connection.fileno()

    def handle(self) -> bool:
        """Read and carry out requests; False once the worker has closed its end."""
        try:
            return self._handle()
        except OSError:  # The worker was killed.
            return False

    def _handle(self) -> bool:
        received = self._connection.recv(_CHUNK_BYTES)
        *requests, self._received = (self._received + received).split(b"\n")
        for request in requests:
            if request.startswith(_START):
                self._logs.start(*json.loads(request.removeprefix(_START)))
            else:
                self._logs.finish()
            self._connection.sendall(_ANSWER)
        return bool(received)
