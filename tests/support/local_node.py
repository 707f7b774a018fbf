"""A local node as a process, and the programs that its pods may run."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

from darkroom_contract import names
from darkroom_local.node.journal import RunRecord, read_journal
from darkroom_local.processes.ports import free_ports
from support.server_process import Process
from support.waiting import waiter

TIMEOUT_SECONDS = 60

wait_until = waiter(TIMEOUT_SECONDS)


class NodeUnderTest(Process):
    """The node, its record, and the programs that its pods may run."""

    def __init__(
        self, kubeconfig: Path, namespace: str, folder: Path, *options: str, python: Path = Path(sys.executable)
    ) -> None:
        """`python` runs the node."""
        self.data_dir, self.bin_dir = folder / "node", folder / "bin"
        self.name = f"node-{secrets.token_hex(4)}"
        self._earlier = 0
        self.bin_dir.mkdir()
        (self.port,) = free_ports(1)
        command = [str(python), "-m", "darkroom_local.node", "--kubeconfig", str(kubeconfig)]
        command += ["--namespace", namespace]
        command += ["--name", self.name, "--data-dir", str(self.data_dir), "--bin-dir", str(self.bin_dir)]
        command += ["--port", str(self.port), "--shutdown-grace-seconds", "1", *options]
        super().__init__(command, folder / "node.log", ready_url=f"http://127.0.0.1:{self.port}/healthz")

    def program(self, name: str, body: str) -> None:
        """A program for pods, in Python."""
        path = self.bin_dir / name
        path.write_text(f"#!{sys.executable} -S\n{body}", encoding="utf-8")
        path.chmod(0o755)

    def second_start(self) -> str:
        """The error message of a second node on the same folder."""
        environment = {"PATH": os.defpath}
        second = subprocess.run(self.command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        assert second.returncode == 1
        return second.stderr

    def forget(self) -> None:
        """Remove the programs, and leave the runs of earlier tests out of `runs`."""
        for program in self.bin_dir.iterdir():
            program.unlink()
        self._earlier = len(read_journal(self.data_dir / "record.jsonl"))

    def runs(self) -> list[RunRecord]:
        return read_journal(self.data_dir / "record.jsonl")[self._earlier :]

    def run_of(self, pod: str) -> RunRecord | None:
        return next((run for run in self.runs() if run.pod_name == pod), None)

    def await_run(self, pod: str) -> RunRecord:
        run: RunRecord = wait_until(lambda: self.run_of(pod), f"{pod} is on record")
        return run

    def folder_of(self, uid: str, container: str = names.RUNNER_CONTAINER) -> Path:
        return self.data_dir / "pods" / uid / "containers" / container

    def log_of(self, uid: str, container: str = names.RUNNER_CONTAINER) -> Path:
        return self.folder_of(uid, container) / "log"

    def await_log(self, uid: str, text: str) -> None:
        log = self.log_of(uid)
        wait_until(lambda: log.exists() and text in log.read_text(encoding="utf-8"), f"{text!r} in the log")
