"""Shows the progress of a job: a bar in a terminal, elsewhere a line for each stage and at least every ten seconds."""

import re
import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from darkroom_contract.progress import Stage
from darkroom_local.demo.gateway_client import Json

LINE_SECONDS = 10.0
LEAST_FRACTION = 0.05
"""Of the steps of a stage. The first ones are slow: an estimate from them is several times too long."""
MINUTES_FROM_SECONDS = 90
"""From here on the time left is rounded to minutes."""


def show(title: str, states: Iterable[Json], console: Console) -> Json:
    """Show the states of a job as they arrive, and return the last one."""
    state, last_stage, last_line = Json(), "", time.monotonic()
    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, ratio=1))
    left = TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True))
    columns = TextColumn("{task.description}"), BarColumn(bar_width=8), TaskProgressColumn(), left, text
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(title, text="", left="")
        for state in states:
            progress = state.get("progress") or {}
            percentage = 100 if state["phase"] == "Succeeded" else progress.get("progress_percentage", 0)
            bars.update(bar, completed=percentage, text=describe(state), left=time_left(state))
            stage = f"{state['phase']} {progress.get('stage')}"
            if not console.is_terminal and (stage != last_stage or time.monotonic() - last_line >= LINE_SECONDS):
                last_stage, last_line = stage, time.monotonic()
                line = ", ".join(filter(None, (f"{title}: {describe(state)}", time_left(state))))
                console.print(line, soft_wrap=True, highlight=False, markup=False)
    return state


def describe(state: Json) -> str:
    """The state of a job in one line, such as "learning, step 12 of 300, loss 0.123"."""
    progress, failure = state.get("progress") or {}, state.get("failure")
    if failure:
        return f"failed: {failure['reason']}: {failure['message']}"
    if state["phase"] == "Starting" and state.get("run_start"):
        return f"starting ({state['run_start'].lower()})"
    if state["phase"] != "Running" or not progress:
        return str(state["phase"]).lower()
    parts = [_in_words(progress["stage"], state.get("kind", ""))]
    if progress["total"]:
        parts.append(f"{_unit(progress['stage'])} {progress['step']} of {progress['total']}")
    if "loss" in progress["metrics"]:
        parts.append(f"loss {progress['metrics']['loss']:.3f}")
    return ", ".join(parts)


def time_left(state: Json) -> str:
    """Of a running job, such as "about 45 s left"; empty as long as it is unknown, or follows from a few slow steps."""
    progress = state.get("progress") or {}
    seconds = progress.get("estimated_remaining_seconds")
    if state["phase"] != "Running" or not seconds or 0 < progress["step"] < progress["total"] * LEAST_FRACTION:
        return ""
    if seconds < MINUTES_FROM_SECONDS:
        return f"about {max(seconds, 1):.0f} s left"
    return f"about {seconds / 60:.0f} min left"


def _in_words(stage: str, kind: str) -> str:
    """As on the page; "SomethingNew" of a later release as "something new"."""
    words = Stage(stage).in_words(kind) if stage in set(Stage) else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stage)
    return words.lower()


def _unit(stage: str) -> str:
    return Stage(stage).unit if stage in set(Stage) else "step"
