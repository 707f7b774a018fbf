"""The progress of the demo's jobs, in a terminal and in a log."""

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from darkroom_local.demo import progress as progress_display
from darkroom_local.demo.progress import describe, show, time_left


def status(phase: str, **more: Any) -> dict[str, Any]:
    return {"phase": phase, "attempts": 1, "progress": None, **more}


def running(stage: str, step: int = 0, total: int = 0, **more: Any) -> dict[str, Any]:
    progress = {"stage": stage, "step": step, "total": total, "progress_percentage": 25.0, "metrics": {}, **more}
    return status("Running", progress=progress)


FAILED = status("Failed", failure={"reason": "DiskFull", "message": "[bold]No space left."})


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (status("Queued", queue={"position": 1}), "queued"),
        (status("Starting"), "starting"),
        (status("Starting", run_start="Cold"), "starting (cold)"),
        (status("Starting", run_start="Warm"), "starting (warm)"),
        (status("Running", run_start="Warm"), "running"),
        (status("Running"), "running"),
        (running("LoadingModel"), "loading the model"),
        (
            running("Training", 12, 200, metrics={"loss": 0.1234, "rate": 1}),
            "learning, step 12 of 200, loss 0.123",
        ),
        (running("Denoising", 0, 30), "drawing, step 0 of 30"),
        ({**running("Denoising", 0, 30), "kind": "TrainJob"}, "drawing samples, step 0 of 30"),
        (running("DrawingClassImages", 3, 60), "drawing class images to keep what the model knows, step 3 of 60"),
        (running("Uploading", 1, 2), "storing the files, file 1 of 2"),
        (running("SomethingNew", 1, 2), "something new, step 1 of 2"),
        (status("Succeeded"), "succeeded"),
        (FAILED, "failed: DiskFull: [bold]No space left."),
    ],
)
def test_one_line_describes_a_job(state: dict[str, Any], line: str) -> None:
    assert describe(state) == line


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (running("DrawingClassImages", 3, 60, estimated_remaining_seconds=200.0), "about 3 min left"),
        (running("Training", 3, 60, estimated_remaining_seconds=41.6), "about 42 s left"),
        (running("Training", 2, 60, estimated_remaining_seconds=900.0), ""),
        (running("Training", 0, 60, estimated_remaining_seconds=None), ""),
        (running("Training", 0, 60), ""),
        (status("Queued", queue={"position": 0}), ""),
        (FAILED, ""),
    ],
)
def test_time_left_is_shown_as_soon_as_the_run_knows_it(state: dict[str, Any], words: str) -> None:
    assert time_left(state) == words


def test_a_log_has_a_line_per_stage_and_not_per_step() -> None:
    output = StringIO()
    states = [
        *(running("Training", step, 3, estimated_remaining_seconds=9) for step in range(3)),
        running("Uploading"),
        status("Succeeded"),
    ]

    assert show("Learn", states, Console(file=output, width=20)) == states[-1]

    assert output.getvalue().splitlines() == [
        "Learn: learning, step 0 of 3, about 9 s left",
        "Learn: storing the files",
        "Learn: succeeded",
    ]


def test_a_log_has_a_line_every_ten_seconds_during_a_long_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = 0.0
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: seconds)
    output = StringIO()

    def states() -> Iterator[dict[str, Any]]:
        nonlocal seconds
        for step in range(12):
            yield running("DrawingClassImages", step, 60)
            seconds += 4

    show("Learn", states(), Console(file=output))

    steps = [line.partition(", step ")[2] for line in output.getvalue().splitlines()]
    assert steps == ["0 of 60", "3 of 60", "6 of 60", "9 of 60"]


def test_a_long_line_of_a_log_is_not_wrapped() -> None:
    output = StringIO()
    failed = status("Failed", failure={"reason": "Unknown", "message": "because " * 20})

    show("Learn", [failed], Console(file=output, width=40))

    assert len(output.getvalue().splitlines()) == 1


def test_a_terminal_shows_a_bar() -> None:
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=80)
    long = running("DrawingClassImages", 101, 375, estimated_remaining_seconds=200.0)

    show("Draw and animate it", [long], console)

    text = output.getvalue()
    assert "25%" in text
    assert "about 3 min left" in text
    assert "drawing class images" in text


def test_square_brackets_in_a_failure_are_not_markup() -> None:
    output = StringIO()

    show("Learn", [FAILED], Console(file=output, force_terminal=True, width=140))

    assert "failed: DiskFull: [bold]No space left." in output.getvalue()
