"""Ctrl-C while a job is followed, typed into a pseudo-terminal or sent as a signal."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from support.scripted_gateway import ScriptedGateway, document, job
from support.waiting import waiter

from darkroom_client import Job
from darkroom_client.cli.exit_codes import ExitCode
from darkroom_client.cli.following import Choice, _ask
from darkroom_client.cli.terminal import Terminal

# Shells start background jobs, such as these tests, with SIGINT ignored.
FOLLOW = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from darkroom_client.cli.main import main
main(["job", "-f", "train-a"])
"""
CTRL_C = b"\x03"

wait_until = waiter(60)


class Person:
    """A command in a terminal, and what it shows."""

    def __init__(self, gateway: ScriptedGateway) -> None:
        environment = {**os.environ, "DARKROOM_GATEWAY_URL": gateway.url, "TERM": "xterm"}
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-c", FOLLOW], environment)
        os.set_blocking(self._terminal, False)
        self.shown = ""

    def sees(self, pattern: str) -> bool:
        try:
            self.shown += os.read(self._terminal, 65536).decode(errors="replace")
        except BlockingIOError:
            pass
        except OSError:  # The command has ended.
            return re.search(pattern, self.shown) is not None
        return re.search(pattern, self.shown) is not None

    def waits_for(self, pattern: str) -> None:
        wait_until(lambda: self.sees(pattern), f"{pattern} in the terminal")
        self.shown = ""

    def types(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def exit_code(self) -> int:
        wait_until(lambda: self.sees("(?!)") or self._has_ended(), "the command has ended")
        return os.waitstatus_to_exitcode(self._status)

    def _has_ended(self) -> bool:
        pid, self._status = os.waitpid(self.pid, os.WNOHANG)
        return pid != 0

    def close(self) -> None:
        os.close(self._terminal)


def silent_stream(handler: BaseHTTPRequestHandler) -> None:
    """A stream of events that stays open until the client leaves."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.end_headers()
    handler.wfile.write(b": ping\n\n")
    handler.wfile.flush()
    handler.connection.recv(1)


@pytest.fixture
def running_job(gateway: ScriptedGateway) -> ScriptedGateway:
    gateway.script("GET", "/v1/jobs/train-a", document(job()))
    gateway.script("GET", "/v1/jobs/train-a/events", silent_stream)
    gateway.script("POST", "/v1/jobs/train-a/cancel", document(job(deleting=True), 202))
    return gateway


@pytest.fixture
def person(running_job: ScriptedGateway) -> Iterator[Person]:
    person = Person(running_job)
    wait_until(lambda: person.sees("") and running_job.sent("GET", "/v1/jobs/train-a/events"), "the job is followed")
    person.types(CTRL_C)
    person.waits_for(r"Cancel train-a\? \[y/N\]")
    yield person
    person.close()


def test_yes_cancels_the_job(person: Person, running_job: ScriptedGateway) -> None:
    person.types(b"y\r")
    assert person.exit_code() == ExitCode.INTERRUPTED
    assert len(running_job.sent("POST", "/v1/jobs/train-a/cancel")) == 1


def test_second_ctrl_c_leaves_the_job_running(person: Person, running_job: ScriptedGateway) -> None:
    person.types(CTRL_C)
    person.waits_for("train-a continues. Follow it with: darkroom job -f train-a")
    assert person.exit_code() == ExitCode.INTERRUPTED
    assert running_job.sent("POST", "/v1/jobs/train-a/cancel") == []


def test_ctrl_c_while_the_question_is_written_leaves_the_job_running(monkeypatch: pytest.MonkeyPatch) -> None:
    class InterruptedOnce(io.StringIO):
        interrupted = False

        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return super().write(text)

    monkeypatch.setattr("sys.stdin", InterruptedOnce())
    monkeypatch.setattr("sys.stderr", InterruptedOnce())

    assert _ask(Job.model_validate(job()), Terminal()) is Choice.LEAVE


def test_no_continues_to_follow(person: Person, running_job: ScriptedGateway) -> None:
    running_job.script("GET", "/v1/jobs/train-a", document(job(status="Succeeded")))
    person.types(b"n\r")
    assert person.exit_code() == ExitCode.DONE


def test_interrupted_script_leaves_the_job_running_and_says_so(running_job: ScriptedGateway) -> None:
    environment = {**os.environ, "DARKROOM_GATEWAY_URL": running_job.url}
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOW], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as command:
        wait_until(lambda: running_job.sent("GET", "/v1/jobs/train-a/events"), "the job is followed")
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=60)
    assert command.returncode == ExitCode.INTERRUPTED
    assert errors.endswith("train-a continues. Follow it with: darkroom job -f train-a\n")
    assert running_job.sent("POST", "/v1/jobs/train-a/cancel") == []


def test_interrupted_submission_says_that_the_job_may_exist(running_job: ScriptedGateway) -> None:
    def silent(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(1)  # Until the client leaves.

    running_job.script("POST", "/v1/generate-jobs", silent)
    script = FOLLOW.replace('"job", "-f", "train-a"', '"generate", "a dog"')
    environment = {**os.environ, "DARKROOM_GATEWAY_URL": running_job.url}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as command:
        wait_until(lambda: running_job.sent("POST", "/v1/generate-jobs"), "the job is sent")
        command.send_signal(signal.SIGINT)
        _, errors = command.communicate(timeout=60)
    assert command.returncode == ExitCode.INTERRUPTED
    assert errors.startswith("The job may exist. Look for it with: darkroom jobs.")
