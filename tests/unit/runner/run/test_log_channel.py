"""The output of several runs of one worker is cut at the right lines, each part into the log of its run."""

import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from darkroom_runner import main
from darkroom_runner.run.log_channel import LogRequests
from darkroom_runner.run.run_log import RunLogs

WORKER = """
    import subprocess, sys
    from darkroom_runner.run.log_channel import LogChannel

    channel = LogChannel()
    for number in range(3):
        for line in range(2000):
            print(number, line, "of the run", "x" * 40, file=(sys.stdout, sys.stderr)[line % 2])
            sys.stdout.flush()
        channel.finish()
        print("between two runs")
        channel.start(f"job-{number}", number + 1)
    print("last", repr(subprocess.run(["cat"], capture_output=True).stdout))
"""


class KeptLogs(RunLogs):
    """Keeps the logs here instead of in object storage."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, int], bytes] = {}
        super().__init__({})

    def _upload(self, uid: str, attempt: int) -> Callable[[bytes], None]:
        return lambda body: self.texts.update({(uid, attempt): body})

    def _open_first(self) -> Any:
        return self._run_log("first", 1)


@pytest.fixture
def logs() -> Iterator[KeptLogs]:
    logs = KeptLogs()
    yield logs
    logs.finish()


def carry_out(script: str, logs: KeptLogs, stdin: Any = None) -> subprocess.Popen[bytes]:
    ours, theirs = socket.socketpair()
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            stdin=theirs if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as worker,
    ):
        theirs.close()
        main._copy_output(worker, logs, LogRequests(ours, logs))
    logs.finish()
    return worker


def test_each_run_has_all_of_its_own_lines(logs: KeptLogs) -> None:
    worker = carry_out(WORKER, logs)

    assert worker.returncode == 0
    first, *others = logs.texts.items()
    assert first[0] == ("first", 1)
    assert [key for key, _ in others] == [("job-0", 1), ("job-1", 2), ("job-2", 3)]
    for number, (_, text) in enumerate([first, *others[:2]]):
        assert [line.split()[:2] for line in text.decode().splitlines()] == [
            [str(number), str(line)] for line in range(2000)
        ]
    # Programs that the worker starts have an empty standard input, not the socket.
    assert others[2][1] == b"last b''\n"


def test_worker_without_a_socket_works_without_a_log(logs: KeptLogs) -> None:
    worker = carry_out(WORKER, logs, subprocess.DEVNULL)

    assert worker.returncode == 0
    assert list(logs.texts) == [("first", 1)]
    assert logs.texts["first", 1].count(b"\n") == 6004


def test_worker_that_dies_leaves_its_log(logs: KeptLogs) -> None:
    worker = carry_out("import os; print('before', flush=True); os.kill(os.getpid(), 9)", logs)

    assert worker.returncode == -9
    assert logs.texts == {("first", 1): b"before\n"}
