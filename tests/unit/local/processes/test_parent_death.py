"""The launcher: its program dies with the parent, and starts only on a signal."""

import os
import signal
import subprocess
import sys

import pytest

from darkroom_local.processes.parent_death import NOT_STARTED, die_with_parent

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_child_is_killed_when_its_parent_dies(alive, wait):
    script = f"import subprocess, time; print(subprocess.Popen({SLEEP}).pid, flush=True); time.sleep(600)"
    script = script.replace(f"Popen({SLEEP})", f"Popen(die_with_parent({SLEEP}))")
    script = f"from darkroom_local.processes.parent_death import die_with_parent; {script}"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert alive(child)

        parent.kill()

        wait(lambda: not alive(child), "the child is dead")


def test_a_program_starts_only_after_the_byte_in_the_pipe(pipe, tmp_path, wait):
    reader, writer = pipe
    started = tmp_path / "started"
    command = die_with_parent([sys.executable, "-c", f"open({str(started)!r}, 'w')"], reader)
    with subprocess.Popen(command, pass_fds=(reader,)) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        assert not started.exists()

        os.write(writer, b"g")

        assert process.wait(timeout=60) == 0
        assert started.exists()


def test_a_program_never_starts_when_the_pipe_is_closed(tmp_path):
    reader, writer = os.pipe()
    started = tmp_path / "started"
    command = die_with_parent([sys.executable, "-c", f"open({str(started)!r}, 'w')"], reader)
    with subprocess.Popen(command, pass_fds=(reader,)) as process:
        os.close(reader)
        os.close(writer)

        assert process.wait(timeout=60) == NOT_STARTED
    assert not started.exists()


def test_a_program_that_cannot_be_executed_exits_with_127(tmp_path):
    missing = tmp_path / "missing"

    done = subprocess.run(die_with_parent([str(missing)]), capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (NOT_STARTED, f"{missing}: No such file or directory\n")


def test_signals_ignored_by_python_are_not_ignored_by_the_program():
    command = die_with_parent(["/bin/sh", "-c", "kill -PIPE $$"])

    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGPIPE
