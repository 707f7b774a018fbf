"""What is shown in a terminal: tables, bars, words."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from support.scripted_gateway import ScriptedGateway, document, job

from darkroom_client.cli.displays import Bar, progress_line, status_line, time_left
from darkroom_client.cli.terminal import Terminal, printable
from darkroom_client.cli.upload_bar import upload_bar
from darkroom_client.cli.words import age, duration, size_in_words
from darkroom_client.models import Job, Kind, Progress

STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Person(Terminal):
    """In front of a terminal."""

    has_bars = True


def test_table_gives_its_width_to_ids(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    Person().table(("ID", "PROMPT"), [("train-k3x9q2m7ab", "a very long\nprompt " * 9), ("[bold]", "b")])
    lines = STYLES.sub("", capsys.readouterr().out).splitlines()
    assert lines[0].split() == ["ID", "PROMPT"]
    assert lines[1].startswith("train-k3x9q2m7ab  a very long prompt")
    assert lines[1].rstrip().endswith("\N{HORIZONTAL ELLIPSIS}")
    assert lines[2].split() == ["[bold]", "b"]
    assert max(map(len, lines)) <= 40


def test_narrow_table_has_whole_ids_and_fewer_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    headings = ("ID", "KIND", "STATUS", "PROGRESS", "MODEL", "AGE", "PROMPT")
    Person().table(headings, [("train-k3x9q2m7ab", "train", "Running", "40%", "my-dog", "3m", "a dog " * 9)])
    lines = STYLES.sub("", capsys.readouterr().out).splitlines()
    assert lines[0].split() == ["ID", "KIND", "STATUS"]
    assert lines[1].split() == ["train-k3x9q2m7ab", "train", "Running"]


@pytest.mark.parametrize(("is_terminal", "out"), [(True, ""), (False, "train-a\n")])
def test_terminal_shows_what_was_done_and_a_pipe_gets_the_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool, out: str
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    Terminal().done("train-a", "Cancelled train-a.")
    assert capsys.readouterr() == (out, "Cancelled train-a.\n")


def test_terminal_that_can_not_move_its_cursor_has_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert Terminal().has_bars
    monkeypatch.setenv("TERM", "dumb")
    assert not Terminal().has_bars


def test_bar_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Bar(Job.model_validate(job("train-k3x9q2m7ab"))) as bar:
        bar.progress(Progress(stage="Training", step=120, total=500, progress_percentage=24.0))
    lines = [STYLES.sub("", line) for line in re.split(r"[\r\n]+", capsys.readouterr().err)]
    assert any("Learning, step 120 of 5" in line and "24%" in line for line in lines)
    assert max(map(len, lines)) <= 40


def test_upload_bar_counts_what_is_sent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with upload_bar(Person(), 4 * 1024**2) as count:
        assert count is not None
        count(3 * 1024**2)
        count(-3 * 1024**2)
    assert "Sending photos" in capsys.readouterr().err


def test_pipe_has_no_upload_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with upload_bar(Terminal(), 4 * 1024**2) as count:
        assert count is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"status": "Queued", "queue": {"position": 1}}, "Queued, 1 ahead in the queue"),
        (
            {"status": "Queued", "queue": {"position": 0, "waiting_for": "TrainJob/a"}},
            "Queued, next in the queue, waits for the training a",
        ),
        (
            {"status": "Queued", "queue": {"position": 2, "estimated_start_seconds": 200}},
            "Queued, 2 ahead in the queue, starts in about 3m",
        ),
        ({"status": "Running", "attempts": 2}, "Running, run 2"),
        ({"status": "Running", "deleting": True}, "is being deleted"),
        ({"status": "Succeeded", "attempts": 2}, "Succeeded"),
    ],
)
def test_status_in_words(fields: dict[str, object], line: str) -> None:
    assert status_line(Job.model_validate(job(**fields))) == line


def test_progress_durations_and_sizes_in_words() -> None:
    training = Progress(stage="Training", step=120, total=500, metrics={"loss": 0.08123})
    assert progress_line(training, Kind.TRAIN) == "Learning, step 120 of 500, loss 0.0812"
    assert progress_line(Progress(stage="LoadingModel"), Kind.TRAIN) == "Loading the model"
    assert progress_line(Progress(stage="AStageOfALaterRelease"), Kind.TRAIN) == "AStageOfALaterRelease"
    assert time_left(training) == time_left(Progress(stage="Done", estimated_remaining_seconds=0.0)) == ""
    assert time_left(Progress(stage="Training", estimated_remaining_seconds=200.0)) == "3m left"
    assert [duration(each) for each in (0.4, 90, 121, 7300, 200_000)] == ["0s", "90s", "2m", "2h", "2d"]
    now = datetime.now(UTC)
    assert age(now - timedelta(minutes=5), now) == "5m"
    assert age(None) == ""
    assert [size_in_words(each) for each in (12, 2048, 3 * 1024**2)] == ["12 bytes", "2.0 KiB", "3.0 MiB"]


@pytest.mark.parametrize(
    ("kind", "stage", "words"),
    [
        (Kind.GENERATE, "Denoising", "Drawing, step 8 of 30"),
        (Kind.TRAIN, "Denoising", "Drawing samples, step 8 of 30"),
        (Kind.TRAIN, "DrawingClassImages", "Drawing class images to keep what the model knows, step 8 of 30"),
        (Kind.TRAIN, "Encoding", "Preparing the photos, photo 8 of 30"),
        (Kind.TRAIN, "Uploading", "Storing the files, file 8 of 30"),
    ],
)
def test_progress_says_what_is_counted(kind: Kind, stage: str, words: str) -> None:
    assert progress_line(Progress(stage=stage, step=8, total=30), kind) == words


@pytest.mark.parametrize(
    ("out", "err", "expected"),
    [
        (True, True, ("", "Saved out/a.png\n")),
        (False, True, ("out/a.png\n", "Saved out/a.png\n")),
        (False, False, ("out/a.png\n", "")),
    ],
)
def test_saved_file_is_a_sentence_for_a_person_and_a_path_for_a_script(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    out: bool,
    err: bool,
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: out)
    monkeypatch.setattr("sys.stderr.isatty", lambda: err)
    Terminal().saved("out/a.png")
    assert capsys.readouterr() == expected


def test_escape_sequences_are_not_printed() -> None:
    assert printable("a\x1b[2J\x07b\u202ec\td\n") == "a\ufffd[2J\ufffdb\ufffdc\td\n"


def test_closed_pipe_ends_the_command_quietly(gateway: ScriptedGateway) -> None:
    gateway.script("GET", "/v1/jobs", document({"jobs": [job()], "total": 1, "next_cursor": None}))
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "darkroom_client", "jobs", "--gateway", gateway.url]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
