"""Our pods that are not servers stop at SIGTERM instead of at the end of their grace period.

The kernel delivers only handled signals to PID 1 of a PID namespace. So a command must have a handler; /proc shows
whether it has.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.chart import only_container, rendered
from support.processes import group_is_alive
from support.waiting import waiter

from darkroom_local.processes.ports import free_ports

MODEL_LOADER = Path(__file__).resolve().parents[2] / "docs" / "operations" / "model-loader.yaml"
END_SECONDS = 20.0
"""Less than the grace period of a pod, 30 s."""

wait_until = waiter(30)


def handles(pid: int, number: signal.Signals) -> bool:
    [caught] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def command_of(what: str) -> list[str]:
    if what == "model-loader":
        command: list[str] = only_container(yaml.safe_load(MODEL_LOADER.read_text(encoding="utf-8")))["command"]
        return command
    container = only_container(rendered("default").one("Pod", "darkroom-test"))
    return [sys.executable, *container["command"][1:], *container["args"]]


@pytest.fixture(params=["model-loader", "helm test"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """The command of a pod, in its own process group."""
    [unused_port] = free_ports(1)
    environment = {"PATH": os.environ["PATH"], "GATEWAY_HOST": "127.0.0.1", "GATEWAY_PORT": str(unused_port)}
    started = subprocess.Popen(command_of(request.param), env=environment, start_new_session=True)
    yield started
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def test_process_group_stops_at_sigterm(process: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: handles(process.pid, signal.SIGTERM), "SIGTERM is handled")

    process.terminate()

    assert process.wait(END_SECONDS) in (0, 1)
    wait_until(lambda: not group_is_alive(process.pid), "its children have ended")
