"""A bin folder like that of the virtual environment, with an interpreter that forks from a warm parent.

One warm parent of a package serves all test processes of a run of pytest: the first to need it starts it, and it ends
with the last.
"""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.waiting import waiter
from support.warm_parent import client, server

BIN = Path(sys.executable).parent
LAUNCHER = """#!{bin}/python
import sys

sys.executable = "{bin}/forking-python"
from {module} import main

main()
"""
wait_until = waiter(280.0)


class WarmParent:
    """The bin folder: `python`, `darkroom-runner` and the other programs of the virtual environment.

    `forking_python -m MODULE` is a fork of the warm parent; `python` is a new interpreter. `runner` is a fork that has
    its work forked, and `darkroom` forks the parts of a local cluster of whose packages there are warm parents: see
    `add`.
    """

    def __init__(self, folder: Path, package: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.bin_dir = folder / "bin"
        self.python = self.bin_dir / "python"
        self.forking_python = self.bin_dir / "forking-python"
        self.runner = self.bin_dir / "darkroom-runner"
        self.darkroom = self.bin_dir / "forking-darkroom"
        self.package = package
        self._environment = dict(environment)
        self._socket = folder / "socket"

    @contextlib.contextmanager
    def serving(self) -> Iterator["WarmParent"]:
        """The warm parent lives as long as anybody is in here."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            holder = self._hold() or self._start()
        with holder:
            yield self

    def add(self, other: "WarmParent") -> None:
        """Let `forking_python` fork the modules of another package from its own warm parent."""
        with contextlib.suppress(FileExistsError):  # Another test process was faster.
            (self.bin_dir / f"warm-parent-{other.package}.json").symlink_to(other.bin_dir / "warm-parent.json")

    @contextlib.contextmanager
    def as_interpreter(self) -> Iterator[None]:
        """A `LocalCluster` that this process starts in here forks its parts."""
        own, sys.executable = sys.executable, str(self.forking_python)
        try:
            yield
        finally:
            sys.executable = own

    def _hold(self) -> socket.socket | None:
        """A connection that keeps the warm parent, if there is one."""
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(self._socket))
            connection.sendall(server.HOLD)
            if connection.recv(1):
                return connection
        except OSError:
            pass
        connection.close()
        return None

    def _start(self) -> socket.socket:
        self._lay_out()
        self._socket.unlink(missing_ok=True)
        ours, first_holder = socket.socketpair()
        with contextlib.ExitStack() as failed, first_holder, (self.folder / "log").open("ab") as log:
            failed.callback(ours.close)
            process = subprocess.Popen(
                [str(self.python), server.__file__, self.package, str(self._socket), str(first_holder.fileno())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[first_holder.fileno()],
                start_new_session=True,
            )

            def accepts() -> bool:
                assert process.poll() is None, (self.folder / "log").read_text()
                with socket.socket(socket.AF_UNIX) as probe:
                    return probe.connect_ex(str(self._socket)) == 0

            wait_until(accepts, f"the warm parent of {self.package} accepts connections")
            failed.pop_all()
        # It may outlive this process.
        process.returncode = 0
        return ours

    def _lay_out(self) -> None:
        """A virtual environment that shares the packages of ours: Python finds them by the path of its executable."""
        self.bin_dir.mkdir(exist_ok=True)
        (self.folder / "pyvenv.cfg").write_text((BIN.parent / "pyvenv.cfg").read_text())
        _link(self.folder / "lib", BIN.parent / "lib")
        for program in BIN.iterdir():
            _link(self.bin_dir / program.name, program)
        interpreter = Path(sys.executable).resolve()
        _write_program(self.runner, f'#!/bin/sh\nexec "{self.forking_python}" -m {server.RUNNER} "$@"\n')
        _write_program(self.darkroom, LAUNCHER.format(bin=self.bin_dir, module="darkroom_local.cli"))
        _write_program(self.forking_python, f"#!{interpreter} -IS\n{Path(client.__file__).read_text()}")


def _link(link: Path, target: Path) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _write_program(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def shared_folder(base: Path) -> Path:
    """Of all test processes: the workers of pytest-xdist have base folders of their own in it."""
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
