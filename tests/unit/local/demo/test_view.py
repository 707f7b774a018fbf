"""What the demo tells of a job, from the events that the gateway sends."""

import pytest

from darkroom_local.demo.events import ServerEvent
from darkroom_local.demo.view import JobView, clock


def view_of(*events):
    view = JobView()
    for name, data in events:
        view = view.after(ServerEvent(name, data))
    return view


def status(phase, **more):
    return "status", {"phase": phase, "attempts": 1, **more}


def progress(stage, step=0, total=0, **more):
    return "progress", {"stage": stage, "step": step, "total": total, "progress_percentage": 10.0, **more}


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ([], "queued"),
        ([status("Queued", queue={"position": 1})], "queue position 1"),
        (
            [status("Queued", queue={"position": 0, "waiting_for": "TrainJob/a", "estimated_start_seconds": 61.7})],
            "queue position 0, starts in 1:02, after a",
        ),
        ([status("Starting")], "starting"),
        ([status("Running")], "running"),
        ([status("Running"), progress("LoadingModel")], "loading the model"),
        (
            [
                status("Running"),
                progress("Training", 12, 200, metrics={"loss": 0.1234, "rate": 1}, estimated_remaining_seconds=8.2),
            ],
            "training 12/200, loss 0.123, 0:08 left",
        ),
        ([status("Running"), progress("SomethingNew", 1, 2)], "SomethingNew 1/2"),
        ([status("Running", attempts=2), progress("Training", 1, 2)], "run 2: training 1/2"),
        ([status("Succeeded")], "succeeded"),
        ([status("Failed", failure={"reason": "DiskFull", "message": "No room."})], "failed: DiskFull: No room."),
        ([("warning", {"source": "progress", "detail": "lost"})], "queued"),
        ([("end", {"reason": "Succeeded"})], "queued"),
    ],
)
def test_one_line_tells_where_a_job_is(events, line):
    assert view_of(*events).describe() == line


def test_progress_of_a_status_counts_until_there_is_live_progress():
    """A status carries an older copy: it must not set the bar back."""
    old = {"stage": "Training", "step": 5, "total": 10, "progress_percentage": 50.0}
    new = progress("Training", 7, 10)

    assert view_of(status("Running", progress=old)).step == 5
    assert view_of(status("Running"), new, status("Running", progress=old)).step == 7


def test_steps_are_no_milestones_but_quarters_stages_phases_and_places_in_the_queue_are():
    training = view_of(status("Running"), progress("Training", 1, 10))
    assert training.milestone == training.after(ServerEvent(*progress("Training", 2, 10))).milestone
    quarter = ("progress", progress("Training", 3, 10)[1] | {"progress_percentage": 25.0})
    assert training.milestone != training.after(ServerEvent(*quarter)).milestone
    assert training.milestone != training.after(ServerEvent(*progress("Uploading"))).milestone

    first, second = (view_of(status("Queued", queue={"position": position})) for position in (0, 1))
    assert first.milestone != second.milestone


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3600, "60:00")])
def test_durations_are_minutes_and_seconds(seconds, text):
    assert clock(seconds) == text
