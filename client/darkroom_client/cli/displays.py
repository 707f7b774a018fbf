"""How a followed job is shown on stderr: a bar in a terminal, lines elsewhere. With --json nothing is."""

import sys
from types import TracebackType
from typing import Any, Self

from darkroom_client.cli.terminal import Terminal, printable
from darkroom_client.cli.words import duration, place, stage_name, stage_unit
from darkroom_client.models import Job, Progress, Status
from darkroom_contract.progress import Stage

PERCENT_BETWEEN_LINES = 10.0

WIDE_COLUMNS = 80
"""Narrower terminals get the words and the percentage, without the job's id and without a bar."""
PERCENT_AND_TIME_COLUMNS = 16


def status_line(job: Job) -> str:
    """Such as: Queued, 2 ahead in the queue, starts in about 3m."""
    if job.deleting:
        return "is being deleted"
    parts = [str(job.status)]
    if job.queue is not None and job.status is Status.QUEUED:
        if job.queue.position is not None:
            parts.append(f"{place(job.queue.position)} in the queue")
        if job.queue.waiting_for:
            parts.append(f"waits for {_named(job.queue.waiting_for)}")
        if job.queue.estimated_start_seconds:
            parts.append(f"starts in about {duration(job.queue.estimated_start_seconds)}")
    if job.attempts > 1 and not job.is_finished:
        parts.append(f"run {job.attempts}")
    return ", ".join(parts)


def ending(job: Job) -> str:
    """Such as: Succeeded, took 41s."""
    took = f", took {duration((job.completed - job.started).total_seconds())}" if job.started and job.completed else ""
    return f"{job.status}{took}"


def _named(reference: str) -> str:
    """TrainJob/train-a as: the training train-a."""
    kind, separator, name = reference.partition("/")
    noun = {"TrainJob": "training", "GenerateJob": "generation"}.get(kind)
    return f"the {noun} {name}" if separator and noun else reference


def progress_line(progress: Progress, kind: str) -> str:
    """Such as: Learning, step 120 of 500, loss 0.081. `kind` is that of the job."""
    parts = [stage_name(progress.stage, kind)]
    if progress.total:
        parts.append(f"{stage_unit(progress.stage)} {progress.step} of {progress.total}")
    loss = progress.metrics.get("loss")
    if loss is not None:
        parts.append(f"loss {loss:.3g}")
    return ", ".join(parts)


def time_left(progress: Progress) -> str:
    """Such as: 3m left. Empty before the run knows it."""
    left = progress.estimated_remaining_seconds
    return "" if left is None or progress.stage == Stage.DONE else f"{duration(left)} left"


class Lines:
    """A line for each change of status or stage, and for every ten percent."""

    def __init__(self, terminal: Terminal, job: Job) -> None:
        self._terminal = terminal
        self._id = job.id
        self._kind = job.kind
        self._last = ""
        self._shown: tuple[str | None, float] = (None, 0.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def status(self, job: Job) -> None:
        line = f"{self._id}: {status_line(job)}"
        if line != self._last:
            self._last = line
            self.message(line)

    def progress(self, progress: Progress) -> None:
        if progress.stage == Stage.DONE:  # The end of the job is a line of its own.
            return
        stage, percent = self._shown
        if progress.stage != stage or progress.progress_percentage >= percent + PERCENT_BETWEEN_LINES:
            self._shown = (progress.stage, progress.progress_percentage)
            words = filter(None, (progress_line(progress, self._kind), time_left(progress)))
            self.message(f"{self._id}: {progress.progress_percentage:.0f}% {', '.join(words)}")

    def message(self, text: str) -> None:
        if not self._terminal.as_json:
            self._terminal.note(text)


class Bar:
    """A bar for the whole run, with stage, steps, loss and the time left."""

    def __init__(self, job: Job) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        # Saved files are named on stdout. In the same terminal they must appear above the bar, which rich sees to.
        self._console = Console(stderr=True)
        is_wide = self._console.width >= WIDE_COLUMNS
        columns = (
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            *((BarColumn(self._console.width // 5),) if is_wide else ()),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, redirect_stdout=sys.stdout.isatty())
        self._id = job.id
        self._kind = job.kind
        self._is_wide = is_wide
        self._task: Any = self._bar.add_task(job.id, total=100.0, left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def status(self, job: Job) -> None:
        if job.progress is None or job.status is not Status.RUNNING:
            self._bar.update(self._task, description=self._described(status_line(job)), left="")

    def progress(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            description=self._described(progress_line(progress, self._kind)),
            completed=progress.progress_percentage,
            left=time_left(progress),
        )

    def _described(self, words: str) -> str:
        """What is being done. Its end gives way to the time left."""
        if self._is_wide:
            return printable(f"{self._id}  {words}")
        room = max(self._console.width - PERCENT_AND_TIME_COLUMNS, 1)
        return printable(words if len(words) <= room else f"{words[: room - 1]}\N{HORIZONTAL ELLIPSIS}")

    def message(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False)


Display = Bar | Lines


def display_for(terminal: Terminal, job: Job) -> Display:
    return Bar(job) if terminal.has_bars else Lines(terminal, job)
