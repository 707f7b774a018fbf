"""Stopping kopf's tasks: as gracefully as possible, without kopf's grace period."""

import asyncio
import time

import pytest
from support.waiting import first_within

from darkroom_operator.kopf_tasks import KopfTasks

KOPFS_GRACE_SECONDS = 5.0


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_task_left_behind_by_a_watch_does_not_delay_the_shutdown() -> None:
    """A watch that is cancelled while it passes on an event never closes its stream, which is awaited forever."""

    async def seconds_until_stopped() -> float:
        left: list[asyncio.Task[None]] = []

        async def watch() -> None:
            left.append(asyncio.create_task(forever()))
            await forever()

        kopf_tasks = KopfTasks([asyncio.create_task(watch()), asyncio.create_task(forever())])
        await asyncio.sleep(0)
        began = time.monotonic()
        await kopf_tasks.stop()
        assert [task.cancelled() for task in left] == [True]
        return time.monotonic() - began

    limit_seconds = KOPFS_GRACE_SECONDS / 2
    assert first_within(limit_seconds, lambda: asyncio.run(seconds_until_stopped())) < limit_seconds


async def test_a_watch_that_takes_its_cancellation_for_a_pause_is_cancelled_again() -> None:
    """As kopf's, when its request and the task that would pause it are cancelled together."""
    paused = []

    async def watch() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            paused.append(True)
        await asyncio.sleep(0.1)
        await forever()

    async def fail() -> None:
        left.append(asyncio.create_task(watch()))
        await asyncio.sleep(0)
        raise ConnectionError

    left: list[asyncio.Task[None]] = []
    kopf_tasks = KopfTasks([asyncio.create_task(fail())])
    await kopf_tasks.run()
    with pytest.raises(ConnectionError):
        await kopf_tasks.stop()
    assert paused == [True]
    assert left[0].cancelled()


async def test_a_task_with_work_to_finish_is_awaited() -> None:
    finished = []

    async def watch() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0.05)
            finished.append(True)

    kopf_tasks = KopfTasks([asyncio.create_task(watch())])
    await asyncio.sleep(0)
    await kopf_tasks.stop()
    assert finished == [True]


async def test_the_error_of_a_failed_watch_is_raised_once_all_have_ended() -> None:
    async def fail() -> None:
        raise ConnectionError("error 500 inside of a watch")

    others = asyncio.create_task(forever())
    kopf_tasks = KopfTasks([others, asyncio.create_task(fail())])
    await kopf_tasks.run()
    with pytest.raises(ConnectionError, match="error 500 inside of a watch"):
        await kopf_tasks.stop()
    assert others.cancelled()


async def test_where_nothing_was_started_nothing_is_cancelled() -> None:
    somebody_s = asyncio.create_task(forever())
    await KopfTasks().stop()
    assert not somebody_s.done()
    somebody_s.cancel()
