"""The log of a run outlives it, however it ends, and a storage in trouble costs the run nothing but the log."""

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

from darkroom_contract.specs import GenerateJobSpec
from darkroom_runner import main
from darkroom_runner.errors import StorageUnavailableError
from darkroom_runner.run_log import Escaping, Excerpt, RunLog

BUCKET = "darkroom"


class Shelf:
    """Takes uploads, or refuses so many of them."""

    def __init__(self, refusals: int = 0) -> None:
        self.texts: list[bytes] = []
        self._refusals = refusals
        self.arrived = threading.Event()

    def connect(self) -> Callable[[bytes], None]:
        return self.upload

    def upload(self, body: bytes) -> None:
        if self._refusals > 0:
            self._refusals -= 1
            raise StorageUnavailableError("Object storage failed to write the log: it can't be reached.")
        self.texts.append(body)
        self.arrived.set()


def generation(**changes: Any) -> GenerateJobSpec:
    return GenerateJobSpec.from_dict({"prompt": "a dog", "images": {"steps": 2}, **changes})


def stored(s3: Any, uid: str, attempt: int = 1) -> str:
    text: str = s3.get_object(Bucket=BUCKET, Key=f"runs/{uid}/logs/{attempt}.txt")["Body"].read().decode()
    return text


def test_of_a_long_text_the_first_and_the_last_are_kept() -> None:
    excerpt = Excerpt(head_bytes=4, tail_bytes=3)

    for chunk in (b"ab", b"cdef", b"g", b"hijkl"):
        excerpt.add(chunk)

    assert excerpt.text() == b"abcd\n... 5 bytes are left out ...\njkl"


def test_a_short_text_is_kept_whole() -> None:
    excerpt = Excerpt(head_bytes=4, tail_bytes=3)
    excerpt.add(b"abcdefg")

    assert excerpt.text() == b"abcdefg"


def test_what_is_said_is_uploaded_while_the_run_works_and_again_at_its_end() -> None:
    shelf = Shelf()
    log = RunLog(shelf.connect, every_seconds=0.01)

    log.add(b"one ")
    assert shelf.arrived.wait(5)
    log.add(b"two")
    log.close()

    assert shelf.texts[0] == b"one "
    assert shelf.texts[-1] == b"one two"


def test_nothing_new_is_not_uploaded_again() -> None:
    shelf = Shelf()
    log = RunLog(shelf.connect, every_seconds=60)
    log.add(b"all")
    log.close()

    assert shelf.texts == [b"all"]


def test_a_storage_that_comes_back_gets_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    shelf = Shelf(refusals=3)
    log = RunLog(shelf.connect, every_seconds=0.01)

    log.add(b"all of it")
    assert shelf.arrived.wait(5)
    log.close()

    assert shelf.texts[-1] == b"all of it"
    assert capsys.readouterr().err.count("can't be kept") == 1


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_run_s_log_is_in_storage_when_it_has_ended(start_run: Callable[..., Any], s3: Any, attempt: int) -> None:
    run = start_run(generation(), attempt=attempt).finish()

    assert f"run {attempt} of GenerateJob" in run.log
    assert stored(s3, run.uid, attempt) == run.log


def test_a_run_that_fails_leaves_its_log(start_run: Callable[..., Any], s3: Any) -> None:
    run = start_run(generation(modelId="nobody")).finish()

    assert run.exit_code != 0
    assert "ModelNotFound" in stored(s3, run.uid)


def test_a_run_whose_work_is_killed_leaves_its_log_and_dies_of_the_same_signal(
    start_run: Callable[..., Any],
    events: Callable[[str], list[dict[str, Any]]],
    until: Callable[..., None],
    s3: Any,
) -> None:
    run = start_run(generation(images={"steps": 200, "count": 4}))
    until(lambda: any(each["stage"] == "Denoising" for each in events(run.uid)), "denoising", 60)

    (work,) = children_of(run.process.pid)
    os.kill(work, signal.SIGKILL)

    assert run.process.wait(20) == -signal.SIGKILL
    assert "Denoising" in stored(s3, run.uid)


def test_the_work_does_not_outlive_a_run_that_is_killed(
    start_run: Callable[..., Any], until: Callable[..., None]
) -> None:
    run = start_run(generation(images={"steps": 200, "count": 4}))
    until(lambda: bool(children_of(run.process.pid)), "the work", 20)
    (work,) = children_of(run.process.pid)

    run.process.kill()

    until(lambda: not is_alive(work), "the work's end", 10)


def test_text_of_a_prompt_begins_no_line_of_a_run_s_log(start_run: Callable[..., Any], s3: Any) -> None:
    forged = "2026-11-28 12:00:00,000 INFO succeeded with 9 files"
    prompt = "a dog, " * 60 + f"\n{forged}\r{forged}\u2028{forged}\x1b[2K"
    run = start_run(generation(prompt=prompt)).finish()

    lines = stored(s3, run.uid).splitlines()

    # It is quoted, for it is longer than CLIP reads.
    assert any(forged in line for line in lines)
    assert not any(line.startswith(forged) for line in lines)
    assert all(line.replace("\t", " ").isprintable() for line in lines)


def test_what_others_print_holds_no_control_characters() -> None:
    escape = Escaping()
    said = "caf\u00e9\t\x1b[2K\r\u2028\u202e\nnext\n".encode()

    escaped = b"".join(escape(said[index : index + 1]) for index in range(len(said))) + escape(b"\xff")

    assert escaped.decode() == "caf\u00e9\t\\x1b[2K\\r\\u2028\\u202e\nnext\n\\xff"


def test_a_reader_that_is_gone_does_not_hold_up_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    shelf = Shelf()
    log = RunLog(shelf.connect, every_seconds=0.01)
    talk = "import sys; sys.stdout.write('x' * 300_000)"

    with os.fdopen(writer, "wb", buffering=0) as gone, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", SimpleNamespace(buffer=gone))
        with subprocess.Popen([sys.executable, "-c", talk], stdout=subprocess.PIPE) as work:
            main._copy(work, log)
    log.close()

    assert work.returncode == 0
    assert shelf.texts[-1] == b"x" * 300_000


def children_of(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
