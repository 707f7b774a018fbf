"""The one reconcile of the operator: level-triggered, woken by any change, doing one small step after another.

It owns the order of things and the waits after failures. What to do is decided by `steps.py` and `chores.py`, on what
the cache knows; how it is sent is in `requests.py`. Only one pass runs at a time.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice

from darkroom_operator.actions import LookForPods
from darkroom_operator.cache import Cache
from darkroom_operator.chores import chores, next_moment
from darkroom_operator.errors import ApiError
from darkroom_operator.requests import Requests
from darkroom_operator.settings import Settings
from darkroom_operator.steps import next_step
from darkroom_operator.world import World

log = logging.getLogger(__name__)

MAX_STEPS = 100
"""For one slot, before the others get a turn."""
CHORES_IN_A_ROW = 20
"""Requests that are not urgent, before the slots are looked at again."""
CHORES_SHARE = 0.2
"""Of the time, at most, goes into looking for chores: with very many jobs that takes a while."""
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 15.0
IDLE_SECONDS = 30.0
"""At least so often a pass is made, whether anything happened or not."""
VERIFY_SECONDS = 30.0
"""A pod that a run depends on is asked for at least so often: a watch may lose the news of its end (resync.py)."""


def utc_now() -> datetime:
    return datetime.now(UTC)


class Reconciler:
    """Wakes, passes, sleeps."""

    def __init__(
        self, cache: Cache, requests: Requests, settings: Settings, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._cache = cache
        self._requests = requests
        self._settings = settings
        self._clock = clock
        self._changed = asyncio.Event()
        self._chores_due = 0.0
        self._verified = time.monotonic()
        self.tried = time.monotonic()
        """When the last pass ended, well or not, by the monotonic clock; the liveness probe reads it."""

    def wake(self) -> None:
        """Something has changed."""
        self._changed.set()

    async def run(self) -> None:
        """For ever. An API server that is down or refuses is tried again after growing waits."""
        wait_seconds = FIRST_WAIT_SECONDS
        while True:
            self._changed.clear()
            try:
                again_seconds = await self._pass()
            except ApiError as error:
                self.tried = time.monotonic()
                log.warning("%s; trying again in %.1f s", error, wait_seconds)
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
                continue
            wait_seconds = FIRST_WAIT_SECONDS
            self.tried = time.monotonic()
            await self._sleep(again_seconds)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _pass(self) -> float:
        """Everything that can be done now. The seconds until there may be more to do."""
        for number in self._world().slots:
            await self._advance(number)
        await self._verify()
        chores_seconds = await self._do_chores()
        moment = next_moment(self._world())
        due_seconds = IDLE_SECONDS if moment is None else (moment - self._clock()).total_seconds() + 0.01
        return max(0.0, min(due_seconds, chores_seconds))

    async def _advance(self, number: int) -> None:
        """Step after step, until this slot can only wait."""
        for _ in range(MAX_STEPS):
            world = self._world()
            if number not in world.slots:
                return
            action = next_step(world.slots[number], world, self._settings.retry_wait)
            if action is None:
                return
            await self._requests.send(action)
        log.error("slot %d did not come to rest within %d steps", number, MAX_STEPS)

    async def _verify(self) -> None:
        if time.monotonic() - self._verified < VERIFY_SECONDS:
            return
        self._verified = time.monotonic()
        for slot in self._world().slots.values():
            if slot.holder and slot.pod_uid:
                await self._requests.send(LookForPods(slot.holder, slot.pod_uid))

    async def _do_chores(self) -> float:
        """Some of them, unless it is too early to look again. The seconds until the next look."""
        began = time.monotonic()
        if began < self._chores_due:
            return self._chores_due - began
        todo = list(islice(chores(self._world()), CHORES_IN_A_ROW + 1))
        spent = time.monotonic() - began
        self._chores_due = time.monotonic() + spent * (1 / CHORES_SHARE - 1)
        for action in todo[:CHORES_IN_A_ROW]:
            await self._requests.send(action)
        return 0.0 if len(todo) > CHORES_IN_A_ROW else IDLE_SECONDS

    def _world(self) -> World:
        return self._cache.world(self._clock(), self._settings.slots)
