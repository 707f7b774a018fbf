"""The supervisor: starts, probes, restarts and stops child processes."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from darkroom_local.errors import StartFailedError
from darkroom_local.processes.supervisor import Program, Supervisor

WORK = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"


@dataclass(frozen=True)
class FileProbe:
    """Ready when a file exists."""

    path: Path

    async def __call__(self) -> bool:
        return self.path.exists()


@pytest.fixture
def supervisor(tmp_path):
    supervisor = Supervisor(tmp_path / "logs")
    yield supervisor
    supervisor.stop()


@pytest.fixture
def program(tmp_path):
    def make(name="work", code=WORK, **more):
        flag = tmp_path / f"{name}-ready"
        return Program(name, [sys.executable, "-c", code, str(flag)], FileProbe(flag), {"PATH": os.defpath}, **more)

    return make


def test_children_are_ready_after_start_and_gone_after_stop(supervisor, program, alive):
    supervisor.start(program("a"), program("b"))
    pids = supervisor.pids()
    assert sorted(pids) == ["a", "b"]

    supervisor.stop()

    assert not any(alive(pid) for pid in pids.values())


def test_a_killed_child_is_restarted(supervisor, program, wait):
    supervisor.start(program())
    first = supervisor.pid("work")

    os.kill(first, signal.SIGKILL)

    wait(lambda: supervisor.pids().get("work", first) != first, "there is a new process")
    assert "work exited with -9" in supervisor.log_path("work").read_text()


def test_a_stuck_child_is_killed_and_restarted(supervisor, program, wait):
    healthy, probes = [True], []

    async def probe():
        probes.append(healthy[0])
        return healthy[0]

    supervisor.start(program(alive=probe, alive_every_seconds=0.05))
    first = supervisor.pid("work")
    wait(lambda: probes, "the probe succeeded once")
    os.kill(first, signal.SIGSTOP)

    healthy[0] = False

    wait(lambda: supervisor.pids().get("work", first) != first, "there is a new process")
    assert "work failed its liveness probe 3 times and is killed" in supervisor.log_path("work").read_text()


def test_liveness_failures_before_the_first_success_do_not_kill_a_child(supervisor, program, wait, tmp_path):
    probes = []

    async def failing():
        probes.append(time.monotonic())
        return False

    supervisor.start(program(alive=failing, alive_every_seconds=0.01))
    first = supervisor.pid("work")

    wait(lambda: len(probes) > 10, "the probe failed often")
    assert supervisor.pid("work") == first


def test_a_child_has_only_its_own_environment(supervisor, program, tmp_path):
    code = "import os, pathlib, sys; print(sorted(os.environ), flush=True); " + WORK
    supervisor.start(program(code=code))

    assert eval(supervisor.log_path("work").read_text().splitlines()[0]) in (["PATH"], ["LC_CTYPE", "PATH"])


def test_a_child_that_keeps_exiting_fails_the_start_with_the_end_of_its_log(supervisor, program):
    with pytest.raises(StartFailedError, match=r"broken exited 3 times before it was ready(.|\n)*the reason"):
        supervisor.start(program("broken", "import sys; sys.exit('the reason')"))


def test_a_child_that_is_never_ready_fails_the_start(supervisor, program):
    with pytest.raises(StartFailedError, match="slow was not ready after 1 s"):
        supervisor.start(program("slow", "import time; time.sleep(600)", ready_within_seconds=1))


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(supervisor, program, alive):
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WORK}"
    supervisor.start(program(code=code, stop_grace_seconds=0.2))
    pid = supervisor.pid("work")

    supervisor.stop()

    assert not alive(pid)


def test_processes_started_by_a_child_are_killed_with_it(supervisor, program, alive, wait):
    code = f"import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); {WORK}"
    supervisor.start(program(code=code))
    grandchild = int(supervisor.log_path("work").read_text())
    assert alive(grandchild)

    supervisor.stop()

    wait(lambda: not alive(grandchild), "the grandchild is gone")


def test_killed_children_are_not_restarted(supervisor, program, alive, wait):
    supervisor.start(program("a"), program("b"))
    pids = supervisor.pids()

    supervisor.kill()

    wait(lambda: not any(alive(pid) for pid in pids.values()), "all are dead")
    supervisor.stop()
    assert "exited" not in supervisor.log_path("a").read_text()


def test_stopping_twice_is_harmless(supervisor, program, alive):
    supervisor.start(program())
    pid = supervisor.pid("work")

    supervisor.stop()
    supervisor.stop()

    assert not alive(pid)
    assert supervisor.pids() == {}
    assert "exited" not in supervisor.log_path("work").read_text()


def test_one_child_can_be_stopped(supervisor, program, alive):
    supervisor.start(program("a"), program("b"))
    pid = supervisor.pid("a")

    supervisor.stop_one("a")

    assert not alive(pid)
    assert list(supervisor.pids()) == ["b"]
