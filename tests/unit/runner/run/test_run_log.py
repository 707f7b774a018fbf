"""A run's log is in storage however the run ends; failing storage loses only the log."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.warm_parent.forks import behind

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_runner import main
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.run.run_log import ControlCharacterEscaper, HeadAndTail, RunLog

BUCKET = "darkroom"


class FakeStorage:
    """Records uploads; the first `refusals` uploads fail."""

    def __init__(self, refusals: int = 0) -> None:
        self.texts: list[bytes] = []
        self._refusals = refusals
        self.arrived = threading.Event()

    def connect(self) -> Callable[[bytes], None]:
        return self.upload

    def upload(self, body: bytes) -> None:
        if self._refusals > 0:
            self._refusals -= 1
            raise StorageUnavailableError("Object storage failed to write the log.")
        self.texts.append(body)
        self.arrived.set()


def generation(**changes: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"steps": 2}, **changes})


def stored(s3: Any, uid: str, attempt: int = 1) -> str:
    text: str = s3.get_object(Bucket=BUCKET, Key=f"runs/{uid}/logs/{attempt}.txt")["Body"].read().decode()
    return text


def test_beginning_and_end_of_a_long_text_are_kept() -> None:
    text = HeadAndTail(head_bytes=4, tail_bytes=3)

    for chunk in (b"ab", b"cdef", b"g", b"hijkl"):
        text.add(chunk)

    assert text.text() == b"abcd\n... 5 bytes omitted ...\njkl"


def test_a_short_text_is_kept_completely() -> None:
    text = HeadAndTail(head_bytes=4, tail_bytes=3)
    text.add(b"abcdefg")

    assert text.text() == b"abcdefg"


def test_the_log_is_uploaded_during_the_run_and_at_its_end() -> None:
    storage = FakeStorage()
    log = RunLog(storage.connect, every_seconds=0.01)

    log.add(b"one ")
    assert storage.arrived.wait(5)
    log.add(b"two")
    log.close()

    assert storage.texts[0] == b"one "
    assert storage.texts[-1] == b"one two"


def test_an_unchanged_log_is_not_uploaded_again() -> None:
    storage = FakeStorage()
    log = RunLog(storage.connect, every_seconds=60)
    log.add(b"all")
    log.close()

    assert storage.texts == [b"all"]


def test_the_whole_log_is_uploaded_once_storage_is_back(capsys: pytest.CaptureFixture[str]) -> None:
    storage = FakeStorage(refusals=3)
    log = RunLog(storage.connect, every_seconds=0.01)

    log.add(b"all of it")
    assert storage.arrived.wait(5)
    log.close()

    assert storage.texts[-1] == b"all of it"
    assert capsys.readouterr().err.count("can't upload the run's log") == 1


@pytest.mark.parametrize("attempt", [1, 3])
def test_the_log_of_a_finished_run_is_in_storage(start_run: Callable[..., Any], s3: Any, attempt: int) -> None:
    run = start_run(generation(), attempt=attempt).finish()

    assert f"run {attempt} of GenerateJob" in run.log
    assert stored(s3, run.uid, attempt) == run.log


def test_the_log_of_a_failed_run_is_in_storage(start_run: Callable[..., Any], s3: Any) -> None:
    run = start_run(generation(modelId="nobody")).finish()

    assert run.exit_code != 0
    assert "ModelNotFound" in stored(s3, run.uid)


def test_a_killed_worker_leaves_its_log_and_the_run_dies_from_the_same_signal(
    start_run: Callable[..., Any],
    events: Callable[[str], list[dict[str, Any]]],
    until: Callable[..., None],
    s3: Any,
) -> None:
    run = start_run(generation(images={"steps": 200, "count": 4}))
    until(lambda: any(each["stage"] == "Denoising" for each in events(run.uid)), "denoising", 60)

    (worker,) = children_of(behind(run.process.pid))
    os.kill(worker, signal.SIGKILL)

    assert run.process.wait(20) == -signal.SIGKILL
    assert "Denoising" in stored(s3, run.uid)


def test_the_worker_dies_with_a_killed_run(start_run: Callable[..., Any], until: Callable[..., None]) -> None:
    run = start_run(generation(images={"steps": 200, "count": 4}))
    until(lambda: bool(children_of(behind(run.process.pid))), "the worker", 20)
    (worker,) = children_of(behind(run.process.pid))

    run.process.kill()

    until(lambda: not is_alive(worker), "the worker's end", 10)


def test_a_prompt_cannot_forge_log_lines(start_run: Callable[..., Any], s3: Any) -> None:
    forged = "2026-11-28 12:00:00,000 INFO succeeded with 9 files"
    prompt = f"a dog (in 9:16\n{forged}\r{forged}\u2028{forged}\x1b[2K:9.5)"
    run = start_run(generation(prompt=prompt)).finish()

    lines = stored(s3, run.uid).splitlines()

    # The log quotes this part of the prompt, since its weight is out of range.
    assert any(forged in line for line in lines)
    assert not any(line.startswith(forged) for line in lines)
    assert all(line.replace("\t", " ").isprintable() for line in lines)


def test_control_characters_in_output_are_escaped() -> None:
    escape = ControlCharacterEscaper()
    output = "caf\u00e9\t\x1b[2K\r\u2028\u202e\nnext\n".encode()

    escaped = b"".join(escape(output[index : index + 1]) for index in range(len(output))) + escape(b"\xff")

    assert escaped.decode() == "caf\u00e9\t\\x1b[2K\\r\\u2028\\u202e\nnext\n\\xff"


def test_a_closed_stderr_does_not_block_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    storage = FakeStorage()
    log = RunLog(storage.connect, every_seconds=0.01)
    script = "import sys; sys.stdout.write('x' * 300_000)"

    with os.fdopen(writer, "wb", buffering=0) as gone, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", SimpleNamespace(buffer=gone))
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as worker:
            main._copy_output(worker, log)
    log.close()

    assert worker.returncode == 0
    assert storage.texts[-1] == b"x" * 300_000


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
