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
ESTIMATED_STAGES = frozenset({"Training", "Denoising"})
"""They take most of a run. The estimate of earlier stages, such as DrawingClassImages, is far off."""


def show(title: str, states: Iterable[Json], console: Console) -> Json:
    """Show the states of a job as they arrive, and return the last one."""
    state, last_stage, last_line = Json(), "", time.monotonic()
    text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, ratio=1))
    columns = TextColumn("{task.description}"), BarColumn(bar_width=12), TaskProgressColumn(), text
    with Progress(*columns, console=console, expand=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(title, text="")
        for state in states:
            progress = state.get("progress") or {}
            percentage = 100 if state["phase"] == "Succeeded" else progress.get("progress_percentage", 0)
            bars.update(bar, completed=percentage, text=describe(state))
            stage = f"{state['phase']} {progress.get('stage')}"
            if not console.is_terminal and (stage != last_stage or time.monotonic() - last_line >= LINE_SECONDS):
                last_stage, last_line = stage, time.monotonic()
                console.print(f"{title}: {describe(state)}", soft_wrap=True, highlight=False, markup=False)
    return state


def describe(state: Json) -> str:
    """The state of a job in one line, such as "learning 12/300, loss 0.123, 45 s left"."""
    progress, failure = state.get("progress") or {}, state.get("failure")
    if failure:
        return f"failed: {failure['reason']}: {failure['message']}"
    if state["phase"] == "Starting" and state.get("run_start"):
        return f"starting ({state['run_start'].lower()})"
    if state["phase"] != "Running" or not progress:
        return str(state["phase"]).lower()
    stage = _in_words(progress["stage"])
    parts = [f"{stage} {progress['step']}/{progress['total']}" if progress["total"] else stage]
    if "loss" in progress["metrics"]:
        parts.append(f"loss {progress['metrics']['loss']:.3f}")
    seconds_left = progress.get("estimated_remaining_seconds")
    if progress["stage"] in ESTIMATED_STAGES and progress["step"] > 0 and seconds_left is not None:
        parts.append(f"{seconds_left:.0f} s left")
    return ", ".join(parts)


def _in_words(stage: str) -> str:
    """As on the page; "SomethingNew" of a later release as "something new"."""
    words = Stage(stage).in_words if stage in set(Stage) else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stage)
    return words.lower()
