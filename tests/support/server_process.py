"""A server of a test as a process of its own, which the test may kill, freeze and start again."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import httpx

from darkroom_local.processes.parent_death import die_with_parent
from support.waiting import waiter
from support.warm_parent.forks import fork_of

START_SECONDS = 120.0
"""Much longer than anything takes on a machine that has little else to do."""

wait_until = waiter(START_SECONDS)


class Process:
    """One program. It inherits nothing of the environment but what is given, and dies with the test process.

    It may be a fork of a warm parent: `running` is then its client, and signals go to the fork.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        ready_url: str = "",
    ) -> None:
        """`ready_url` answers 200 once the server is ready; without one `start` doesn't wait."""
        self.command = [str(word) for word in command]
        self.log_path = log_path
        self.environment = dict(environment or {})
        self.ready_url = ready_url
        self.running: subprocess.Popen[bytes] | None = None
        """The process that was started last; None before the first start and after an end that a test caused."""

    def start(self) -> None:
        """Returns once it is ready."""
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", **self.environment}
        with self.log_path.open("ab") as log:
            self.running = subprocess.Popen(die_with_parent(self.command), env=environment, stdout=log, stderr=log)
        if self.ready_url:
            wait_until(self.is_ready, f"{' '.join(self.command[1:])} is ready")

    def is_ready(self) -> bool:
        assert not self.ended(), self.log()
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(self.ready_url, trust_env=False, timeout=2).status_code == 200
        return False

    def kill(self) -> None:
        """As a machine that loses its power."""
        self.stop(signal.SIGKILL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; 0 when it was not running."""
        if self.running is None:
            return 0
        self.send(how)
        self.send(signal.SIGCONT)
        code = self.running.wait(timeout=START_SECONDS)
        self.running = None
        return code

    def pause(self) -> None:
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.send(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """A signal to the program itself; nothing happens when it has ended."""
        if not self.ended():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        """Of the program, whether or not it was forked."""
        client = self.process.pid
        return (fork_of(client) if "forking-python" in self.command[0] else None) or client

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process of a server that was started and that no test has ended."""
        assert self.running is not None
        return self.running

    def ended(self) -> bool:
        return self.running is None or self.running.poll() is not None

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    def close(self) -> None:
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
