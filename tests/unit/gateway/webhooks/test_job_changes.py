"""Waiting for changes of jobs ends with its task, also when a change arrives at that moment."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.webhooks.job_changes import WebhookJobChanges


async def forever(step: Callable[[float], Awaitable[None]]) -> None:
    while True:
        await step(60)


@pytest.mark.parametrize("steps", range(4))
async def test_cancellation_during_a_change_ends_the_loop(steps: int) -> None:
    """`asyncio.wait_for` of Python 3.11 ignores it after one step."""
    changes = WebhookJobChanges(JobStore())
    running = asyncio.create_task(forever(changes.wait))
    for _ in range(3):
        await asyncio.sleep(0)
    changes._some.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    ended = running.cancelled()
    running.cancel()
    assert ended


async def test_removal_of_all_jobs_before_a_wait_is_not_missed() -> None:
    changes = WebhookJobChanges(JobStore())
    changes._note(None)

    async with asyncio.timeout(20):
        await changes.wait(600)

    assert changes.take() == ([], True)
