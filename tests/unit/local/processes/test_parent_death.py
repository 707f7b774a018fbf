"""A die_with_parent process dies with its parent, and begins only when it is told to."""

import os
import signal
import subprocess
import sys

import pytest

from darkroom_local.processes.parent_death import NOT_STARTED, die_with_parent

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def gate():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_child_is_killed_when_its_parent_is(alive, wait):
    script = f"import subprocess, time; print(subprocess.Popen({SLEEP}).pid, flush=True); time.sleep(600)"
    script = script.replace(f"Popen({SLEEP})", f"Popen(die_with_parent({SLEEP}))")
    script = f"from darkroom_local.processes.parent_death import die_with_parent; {script}"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)

        parent.kill()

        wait(lambda: not alive(child), "the child is dead")


def test_a_program_begins_only_after_the_go(gate, tmp_path, wait):
    reader, writer = gate
    begun = tmp_path / "begun"
    command = die_with_parent([sys.executable, "-c", f"open({str(begun)!r}, 'w')"], reader)
    with subprocess.Popen(command, pass_fds=(reader,)) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        assert not begun.exists()

        os.write(writer, b"g")

        assert process.wait(timeout=60) == 0
        assert begun.exists()


def test_a_program_never_begins_when_the_go_can_not_come_any_more(tmp_path):
    reader, writer = os.pipe()
    begun = tmp_path / "begun"
    command = die_with_parent([sys.executable, "-c", f"open({str(begun)!r}, 'w')"], reader)
    with subprocess.Popen(command, pass_fds=(reader,)) as process:
        os.close(reader)
        os.close(writer)

        assert process.wait(timeout=60) == NOT_STARTED
    assert not begun.exists()


def test_a_program_that_can_not_be_executed_is_told_by_its_exit_code(tmp_path):
    missing = tmp_path / "missing"

    done = subprocess.run(die_with_parent([str(missing)]), capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (NOT_STARTED, f"{missing}: No such file or directory\n")


def test_signals_that_python_ignores_are_not_ignored_by_the_program():
    command = die_with_parent(["/bin/sh", "-c", "kill -PIPE $$"])

    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGPIPE
