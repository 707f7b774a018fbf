"""Runs kopf's tasks so that their end is noticed at once, and stops them without kopf's grace period."""

import asyncio
from collections.abc import Collection
from typing import Any

import kopf

CANCEL_SECONDS = 0.03
"""The interval between cancellations: shorter than kopf's `reconnect_backoff`, a tenth of a second."""


class KopfTasks:
    """kopf's own tasks. The rest of the operator stops acting after `run` returns and before `stop` is called."""

    def __init__(self, tasks: Collection[asyncio.Task[Any]] = ()) -> None:
        self._tasks = tasks

    async def start(self, registry: kopf.OperatorRegistry, namespace: str) -> None:
        self._tasks = await kopf.spawn_tasks(registry=registry, standalone=True, namespaces=[namespace])

    async def run(self) -> None:
        """Until the first task ends: on a signal, or when a watch has failed."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self) -> None:
        """Stop all tasks gracefully. Raises the error of a failed watch. Called when nothing else runs any longer.

        `kopf.run_tasks` would wait five seconds for what its tasks leave behind: a watch that is cancelled while it
        passes on an event leaves a task that waits forever, and none of our handlers needs the time.
        """
        if not self._tasks:
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await _cancel_until_done(asyncio.all_tasks() - {asyncio.current_task()})
        for task in self._tasks:
            if not task.cancelled():
                task.result()


async def _cancel_until_done(tasks: set[asyncio.Task[Any]]) -> None:
    """If the request of a watch and the task that can pause it are cancelled together, the watch takes that for a pause
    and reconnects after `reconnect_backoff`: it is cancelled again before that."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
