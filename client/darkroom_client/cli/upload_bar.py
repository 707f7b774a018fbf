"""A bar on stderr while photos are sent."""

import contextlib
from collections.abc import Iterator

from darkroom_client.cli.terminal import Terminal
from darkroom_client.submissions import OnUpload

LEAST_BYTES = 1024**2
"""Smaller uploads are over before a bar is seen."""


@contextlib.contextmanager
def upload_bar(terminal: Terminal, total_bytes: int) -> Iterator[OnUpload | None]:
    if not terminal.has_bars or total_bytes < LEAST_BYTES:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("Sending photos"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total_bytes)
        yield lambda size: progress.advance(task, size)
