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
    CreatePod,
    DeletePod,
    ObserveGeneration,
    UpdateQueuePosition,
    VerifyHolder,
    VerifyPods,
)
from darkroom_operator.reconcile.backoff import ExponentialBackoff
from darkroom_operator.reconcile.executor import ActionExecutor
from darkroom_operator.reconcile.housekeeping import housekeeping, next_deadline, next_due
from darkroom_operator.reconcile.plan_slot import plan_slot
from darkroom_operator.reconcile.quota_backoff import QuotaBackoff
from darkroom_operator.reconcile.rate_limit import RateLimiter
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.settings import Settings
from darkroom_operator.telemetry.metrics import Metrics

log = logging.getLogger(__name__)

MAX_STEPS = 100
"""For one slot, before it has to wait."""
MAX_REPEATS = 3
"""Of a step whose answer changes nothing of what is decided next."""
REFUSED_SECONDS = 1.0
"""Until chores are looked at again after one was refused."""
HOUSEKEEPING_BATCH = 200
"""ActionExecutor that are not urgent, before the slots are looked at again."""
LOW_PRIORITY_UPDATES, LOW_PRIORITY_SECONDS = 20, 5.0
"""At most 20 statuses of jobs that only wait, or have finished, are updated in 5 s, however many jobs there are."""
HOUSEKEEPING_CPU_SHARE = 0.05
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
        executor: ActionExecutor,
        settings: Settings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        cpu_seconds: Callable[[], float] = time.thread_time,
        is_leader: Callable[[], bool] = lambda: True,
        metrics: Metrics | None = None,
    ) -> None:
        self._cache = cache
        self._executor = executor
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._cpu_seconds = cpu_seconds
        self._is_leader = is_leader
        self._metrics = metrics or Metrics()
        self._changed = asyncio.Event()
        self._news = 0
        """Counts up with each change."""
        self._backoff = ExponentialBackoff(monotonic)
        self._quota = QuotaBackoff(monotonic)
        self._housekeeping_due = 0.0
        self._low_priority = RateLimiter(LOW_PRIORITY_UPDATES, LOW_PRIORITY_SECONDS, monotonic)
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

    def liveness_error(self) -> str | None:
        """For the liveness probe: what is wrong; None when nothing is known to be."""
        silent = self._monotonic() - self._tried
        return f"the reconcile has done nothing for {silent:.0f} s" if silent > STUCK_SECONDS else None

    async def run(self) -> None:
        """For ever. An API server that does not answer is tried again after growing waits."""
        while True:
            self._changed.clear()
            if not self._is_leader():
                self.live()
                await self._sleep(IDLE_SECONDS)
                continue
            try:
                again_seconds = await self.once()
            except UnreachableError as error:
                self.live()
                wait_seconds = self._backoff.refused(API_SERVER)
                log.warning("%s; trying again in %.1f s", error, wait_seconds)
                await asyncio.sleep(wait_seconds)
                continue
            self._backoff.accepted(API_SERVER)
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
        housekeeping_seconds = await self._run_housekeeping()
        deadline_seconds = self._seconds_until(next_deadline(self._snapshot()))
        waits = (self._backoff.soonest(), self._quota.soonest())
        return max(0.0, min(deadline_seconds, housekeeping_seconds, *(each for each in waits if each is not None)))

    def _seconds_until(self, moment: datetime | None) -> float:
        """And a little more, so that it has come; at most as long as a pass is waited for anyway."""
        return IDLE_SECONDS if moment is None else min(IDLE_SECONDS, (moment - self._clock()).total_seconds() + 0.01)

    async def _advance_slots(self) -> None:
        for number in self._snapshot().slots:
            if not self._backoff.remaining(number):
                await self._advance(number)

    async def _advance(self, number: int) -> None:
        """Step after step, until this slot can only wait."""
        last: Action | None = None
        repeats = 0
        for _ in range(MAX_STEPS):
            snapshot = self._snapshot()
            action = (
                plan_slot(snapshot.slots[number], snapshot, self._settings.retry_wait)
                if number in snapshot.slots
                else None
            )
            if action is None or self._must_wait_for_room(action):
                self._backoff.accepted(number)
                return
            repeats = repeats + 1 if action == last else 0
            if repeats == MAX_REPEATS:
                break
            if not await self._try(action, number):
                return
            last = action
        wait_seconds = self._backoff.refused(number)
        log.error("slot %d does not get on: %s; trying again in %.1f s", number, type(last).__name__, wait_seconds)

    def _must_wait_for_room(self, action: Action) -> bool:
        """Only the pod waits for the quota: all else that becomes of its job is done meanwhile."""
        return isinstance(action, CreatePod) and self._quota.must_wait(action.slot, self._cache.pods.view)

    async def _make_pod(self, action: CreatePod) -> bool:
        """Whether there was room for it."""
        try:
            await self._executor.send(action)
        except QuotaExceededError as error:
            seconds = self._quota.refused(action.slot, self._cache.pods.view)
            log.info("%s; trying again in %.1f s, or when a run ends", error, seconds)
            return False
        self._quota.accepted(action.slot)
        return True

    async def _try(self, action: Action, key: Hashable) -> bool:
        """Whether the API server took it. One that does not answer at all ends the pass, and so does another leader."""
        if not self._is_leader():
            return False
        try:
            if isinstance(action, CreatePod):
                return await self._make_pod(action)
            await self._executor.send(action)
        except UnreachableError:
            raise
        except ApiError as error:
            log.warning("%s; trying again in %.1f s", error, self._backoff.refused(key))
            return False
        finally:
            self.live()
        return True

    async def _verify(self) -> None:
        if self._monotonic() - self._verified < VERIFY_SECONDS:
            return
        self._verified = self._monotonic()
        for slot in self._snapshot().slots.values():
            if slot.holder and slot.pod_uid:
                await self._try(VerifyPods(slot.holder, slot.pod_uid), ("verify", slot.number))
                await self._try(VerifyHolder(slot), ("verify", slot.number))

    async def _run_housekeeping(self) -> float:
        """Some of them, unless it is too early to look again. The seconds until the next look."""
        early_seconds = self._housekeeping_due - self._monotonic()
        if early_seconds > 0:
            return early_seconds
        began = self._cpu_seconds()
        snapshot = self._snapshot()
        found = housekeeping(snapshot, self._low_priority.left)
        due = (action for action in found if not self._backoff.remaining(_key(action)))
        todo = list(islice(due, HOUSEKEEPING_BATCH + 1))
        due_seconds = self._seconds_until(next_due(snapshot))
        spent = self._cpu_seconds() - began
        self._housekeeping_due = self._monotonic() + spent * (1 / HOUSEKEEPING_CPU_SHARE - 1)
        seen, before = self._news, self._cache.changes
        for action in todo[:HOUSEKEEPING_BATCH]:
            if seen != self._news:  # A slot may be free: who gets it need not wait until the others are told.
                seen = self._news
                await self._advance_slots()
            if isinstance(action, (UpdateQueuePosition, ObserveGeneration)):
                self._low_priority.use()
            if not await self._try(action, _key(action)):
                return REFUSED_SECONDS  # If it is the API server that is unwell, others would be refused as well.
            self._backoff.accepted(_key(action))
        # What was done may have made more to do; an answer that changes nothing is no reason to look again.
        if len(todo) > HOUSEKEEPING_BATCH or self._cache.changes != before:
            return 0.0
        return min(due_seconds, self._low_priority.seconds_until_more() or IDLE_SECONDS)

    def _snapshot(self) -> Snapshot:
        return self._cache.snapshot(self._clock(), self._settings.slots)


def _key(action: Action) -> Hashable:
    """What is left alone when a chore is refused."""
    subject = action.pod if isinstance(action, DeletePod) else getattr(action, "job", None)
    return type(action), getattr(subject, "uid", None)
