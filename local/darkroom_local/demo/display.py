"""Shows jobs while they go: moving bars on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from darkroom_local.demo.view import JobView, clock

_REST = Column(no_wrap=True, overflow="ellipsis", ratio=1)
"""A column that takes what the others leave."""


class Display(Protocol):
    """A context manager that is told of every change."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, title: str, view: JobView) -> None: ...


def display_for(console: Console) -> Display:
    return Bars(console) if console.is_terminal else Lines(console)


class Bars:
    """One bar a job, in the order in which they were submitted."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>3.0f}%"),
            # Whatever is too long for the terminal is cut here, and the bars stay as they are.
            TextColumn("{task.fields[line]}", markup=False, table_column=_REST),
            console=console,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, title: str, view: JobView) -> None:
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(title, total=100, line="")
        percent = 100.0 if view.phase == "Succeeded" else view.percent
        self._progress.update(self._tasks[title], completed=percent, line=view.describe())


class Lines:
    """A line whenever a job reaches something new, with the time since the beginning."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._told: dict[str, JobView] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def show(self, title: str, view: JobView) -> None:
        told = self._told.get(title)
        if told is not None and told.milestone == view.milestone:
            return
        self._told[title] = view
        line = f"[{clock(time.monotonic() - self._began):>5}] {title:<22} {view.describe()}"
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)
