"""The one reconcile of the operator: level-triggered, woken by any change, doing one small step after another.

It owns the order of things and, by `patience.py`, the waits after refusals. What to do is decided by `steps.py` and
`chores.py`, on what the cache knows; how it is sent is in `requests.py`. Only one pass runs at a time.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from datetime import datetime
from itertools import islice

from darkroom_operator.cache.cache import Cache
from darkroom_operator.errors import ApiError, QuotaExceededError, UnreachableError
from darkroom_operator.reconcile.actions import (
    Action,
    DeletePod,
    LookForHolder,
    LookForPods,
    MakePod,
    ObserveGeneration,
    TellPlace,
)
from darkroom_operator.reconcile.backoff import Patience
from darkroom_operator.reconcile.executor import Requests
from darkroom_operator.reconcile.housekeeping import chores, next_deadline, next_due
from darkroom_operator.reconcile.plan_slot import next_step
from darkroom_operator.reconcile.quota_backoff import QuotaWaits
from darkroom_operator.reconcile.rate_limit import Allowance
from darkroom_operator.scheduling.snapshot import World
from darkroom_operator.settings import Settings
from darkroom_operator.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MAX_STEPS = 100
"""For one slot, before it has to wait."""
MAX_REPEATS = 3
"""Of a step whose answer changes nothing of what is decided next."""
REFUSED_SECONDS = 1.0
"""Until chores are looked at again after one was refused."""
CHORES_IN_A_ROW = 200
"""Requests that are not urgent, before the slots are looked at again."""
TOLD_ANEW, TOLD_ANEW_SECONDS = 20, 5.0
"""At most 20 statuses of jobs that only wait, or have finished, are updated in 5 s, however many jobs there are."""
CHORES_SHARE = 0.05
"""Of a core, at most, goes into looking for chores: with very many jobs that takes a while."""
API_SERVER = "the API server"
IDLE_SECONDS = 30.0
"""At least so often a pass is made, whether anything happened or not."""
STUCK_SECONDS = 120.0
"""Passes are made every 30 s, a request takes at most 30 s, and waits after an outage are at most 15 s."""
VERIFY_SECONDS = 30.0
"""The pod and the job of a run are asked for at least so often: a watch may lose the news of their end (resync.py)."""


class Reconciler:
    """Wakes, passes, sleeps."""

    def __init__(
        self,
        cache: Cache,
        requests: Requests,
        settings: Settings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        cpu_seconds: Callable[[], float] = time.thread_time,
        leads: Callable[[], bool] = lambda: True,
        metrics: Metrics | None = None,
    ) -> None:
        self._cache = cache
        self._requests = requests
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._cpu_seconds = cpu_seconds
        self._leads = leads
        self._metrics = metrics or Metrics()
        self._changed = asyncio.Event()
        self._news = 0
        """Counts up with each change."""
        self._patience = Patience(monotonic)
        self._quota = QuotaWaits(monotonic)
        self._chores_due = 0.0
        self._told_anew = Allowance(TOLD_ANEW, TOLD_ANEW_SECONDS, monotonic)
        self._verified = self._monotonic()
        self._tried = self._monotonic()
        """When something was last done, well or not."""

    def wake(self) -> None:
        """Something has changed."""
        self._news += 1
        self._changed.set()

    def live(self) -> None:
        """Whatever is being done is getting on."""
        self._tried = self._monotonic()

    def complaint(self) -> str | None:
        """For the liveness probe: what is wrong; None when nothing is known to be."""
        silent = self._monotonic() - self._tried
        return f"the reconcile has done nothing for {silent:.0f} s" if silent > STUCK_SECONDS else None

    async def run(self) -> None:
        """For ever. An API server that does not answer is tried again after growing waits."""
        while True:
            self._changed.clear()
            if not self._leads():
                self.live()
                await self._sleep(IDLE_SECONDS)
                continue
            try:
                again_seconds = await self.once()
            except UnreachableError as error:
                self.live()
                wait_seconds = self._patience.refused(API_SERVER)
                log.warning("%s; trying again in %.1f s", error, wait_seconds)
                await asyncio.sleep(wait_seconds)
                continue
            self._patience.accepted(API_SERVER)
            self.live()
            await self._sleep(again_seconds)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def once(self) -> float:
        """Everything that can be done now. The seconds until there may be more to do."""
        began = self._monotonic()
        try:
            return await self._pass()
        finally:
            self._metrics.time_reconcile(self._monotonic() - began)

    async def _pass(self) -> float:
        await self._verify()
        await self._advance_slots()
        chores_seconds = await self._do_chores()
        deadline_seconds = self._seconds_until(next_deadline(self._world()))
        waits = (self._patience.soonest(), self._quota.soonest())
        return max(0.0, min(deadline_seconds, chores_seconds, *(each for each in waits if each is not None)))

    def _seconds_until(self, moment: datetime | None) -> float:
        """And a little more, so that it has come; at most as long as a pass is waited for anyway."""
        return IDLE_SECONDS if moment is None else min(IDLE_SECONDS, (moment - self._clock()).total_seconds() + 0.01)

    async def _advance_slots(self) -> None:
        for number in self._world().slots:
            if not self._patience.remaining(number):
                await self._advance(number)

    async def _advance(self, number: int) -> None:
        """Step after step, until this slot can only wait."""
        last: Action | None = None
        repeats = 0
        for _ in range(MAX_STEPS):
            world = self._world()
            action = next_step(world.slots[number], world, self._settings.retry_wait) if number in world.slots else None
            if action is None or self._must_wait_for_room(action):
                self._patience.accepted(number)
                return
            repeats = repeats + 1 if action == last else 0
            if repeats == MAX_REPEATS:
                break
            if not await self._try(action, number):
                return
            last = action
        wait_seconds = self._patience.refused(number)
        log.error("slot %d does not get on: %s; trying again in %.1f s", number, type(last).__name__, wait_seconds)

    def _must_wait_for_room(self, action: Action) -> bool:
        """Only the pod waits for the quota: all else that becomes of its job is done meanwhile."""
        return isinstance(action, MakePod) and self._quota.must_wait(action.slot, self._cache.pods.view)

    async def _make_pod(self, action: MakePod) -> bool:
        """Whether there was room for it."""
        try:
            await self._requests.send(action)
        except QuotaExceededError as error:
            seconds = self._quota.refused(action.slot, self._cache.pods.view)
            log.info("%s; trying again in %.1f s, or when a run ends", error, seconds)
            return False
        self._quota.accepted(action.slot)
        return True

    async def _try(self, action: Action, key: Hashable) -> bool:
        """Whether the API server took it. One that does not answer at all ends the pass, and so does another leader."""
        if not self._leads():
            return False
        try:
            if isinstance(action, MakePod):
                return await self._make_pod(action)
            await self._requests.send(action)
        except UnreachableError:
            raise
        except ApiError as error:
            log.warning("%s; trying again in %.1f s", error, self._patience.refused(key))
            return False
        finally:
            self.live()
        return True

    async def _verify(self) -> None:
        if self._monotonic() - self._verified < VERIFY_SECONDS:
            return
        self._verified = self._monotonic()
        for slot in self._world().slots.values():
            if slot.holder and slot.pod_uid:
                await self._try(LookForPods(slot.holder, slot.pod_uid), ("verify", slot.number))
                await self._try(LookForHolder(slot), ("verify", slot.number))

    async def _do_chores(self) -> float:
        """Some of them, unless it is too early to look again. The seconds until the next look."""
        early_seconds = self._chores_due - self._monotonic()
        if early_seconds > 0:
            return early_seconds
        began = self._cpu_seconds()
        world = self._world()
        found = chores(world, self._told_anew.left)
        due = (action for action in found if not self._patience.remaining(_key(action)))
        todo = list(islice(due, CHORES_IN_A_ROW + 1))
        due_seconds = self._seconds_until(next_due(world))
        spent = self._cpu_seconds() - began
        self._chores_due = self._monotonic() + spent * (1 / CHORES_SHARE - 1)
        seen, before = self._news, self._cache.changes
        for action in todo[:CHORES_IN_A_ROW]:
            if seen != self._news:  # A slot may be free: who gets it need not wait until the others are told.
                seen = self._news
                await self._advance_slots()
            if isinstance(action, (TellPlace, ObserveGeneration)):
                self._told_anew.use()
            if not await self._try(action, _key(action)):
                return REFUSED_SECONDS  # If it is the API server that is unwell, others would be refused as well.
            self._patience.accepted(_key(action))
        # What was done may have made more to do; an answer that changes nothing is no reason to look again.
        if len(todo) > CHORES_IN_A_ROW or self._cache.changes != before:
            return 0.0
        return min(due_seconds, self._told_anew.seconds_until_more() or IDLE_SECONDS)

    def _world(self) -> World:
        return self._cache.world(self._clock(), self._settings.slots)


def _key(action: Action) -> Hashable:
    """What is left alone when a chore is refused."""
    subject = action.pod if isinstance(action, DeletePod) else getattr(action, "job", None)
    return type(action), getattr(subject, "uid", None)
