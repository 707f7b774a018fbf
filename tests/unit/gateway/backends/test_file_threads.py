"""A temporary file is closed only after the thread that writes it, even when the request is cancelled."""

import asyncio
import threading
from pathlib import Path

import pytest

from darkroom_gateway.backends.file_threads import run_to_end


class SlowFile:
    """A file whose write takes until the test allows it to end."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.written = False
        self.closed_early = False

    def write(self) -> None:
        self.begun.set()
        assert self.may_end.wait(30)
        self.written = True

    def close(self) -> None:
        self.closed_early = not self.written


async def use(file: SlowFile, seconds: float | None = None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await run_to_end(file.write)
    finally:
        file.close()


async def test_cancelled_caller_waits_for_its_thread() -> None:
    file = SlowFile()
    task = asyncio.create_task(use(file))
    assert await asyncio.to_thread(file.begun.wait, 30)

    for _ in range(3):  # A second cancellation, as at shutdown, does not close the file either.
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    file.may_end.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert file.written
    assert not file.closed_early


async def test_time_limit_is_raised_once_the_thread_has_ended() -> None:
    file = SlowFile()
    asyncio.get_running_loop().call_later(0.1, file.may_end.set)

    with pytest.raises(TimeoutError):
        await use(file, seconds=0.01)

    assert file.written
    assert not file.closed_early


async def test_results_and_errors_are_those_of_the_function(tmp_path: Path) -> None:
    assert await run_to_end(len, "four") == 4
    with pytest.raises(FileNotFoundError):
        await run_to_end((tmp_path / "none").read_bytes)
