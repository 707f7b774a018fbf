"""What stands on the screen, on a terminal and in a log."""

from io import StringIO

from rich.console import Console

from darkroom_local.demo.display import Bars, Lines, display_for
from darkroom_local.demo.view import JobView


def test_a_log_has_a_line_for_each_milestone_and_none_for_steps():
    output = StringIO()
    with display_for(Console(file=output, width=40)) as display:
        assert isinstance(display, Lines)
        for step in range(3):
            display.show("Learn", JobView(phase="Running", stage="Training", step=step, total=3))
        display.show("Learn", JobView(phase="Succeeded"))

    lines = output.getvalue().splitlines()
    assert [line.split("]")[1].split() for line in lines] == [["Learn", "training", "0/3"], ["Learn", "succeeded"]]


def test_a_long_line_of_a_log_is_not_broken():
    output = StringIO()
    with display_for(Console(file=output, width=40)) as display:
        display.show("Learn", JobView(phase="Failed", failure="because " * 20))

    assert len(output.getvalue().splitlines()) == 1


def test_a_terminal_has_a_bar_for_each_job():
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=140)
    with display_for(console) as display:
        assert isinstance(display, Bars)
        display.show("Learn", JobView(phase="Running", stage="Training", step=1, total=4, percent=25.0))
        display.show("Draw", JobView(phase="Queued", position=0))

    text = output.getvalue()
    assert "25%" in text
    assert "training 1/4" in text
    assert "queue position 0" in text


def test_square_brackets_in_a_failure_are_shown_as_they_are():
    output = StringIO()
    with display_for(Console(file=output, force_terminal=True, width=140)) as display:
        display.show("Learn", JobView(phase="Failed", failure="[bold]"))

    assert "failed: [bold]" in output.getvalue()
