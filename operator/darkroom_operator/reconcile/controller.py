"""The reconcile loop of the operator: level-triggered, woken by any change, one pass at a time.

It owns the order of the work and the waits after refusals. `plan_slot.py` and `housekeeping.py` decide what to do, on a
snapshot of the cache; `executor.py` sends it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Hashable
from datetime import datetime
from itertools import islice

from darkroom_operator.cache.cache import Cache
from darkroom_operator.errors import ApiError, QuotaExceededError, UnreachableError
from darkroom_operator.pods.builder import template_hash
from darkroom_operator.reconcile.actions import (
    Action,
    CreatePod,
    DeletePod,
    ObserveGeneration,
    UpdateQueuePosition,
    VerifyHolder,
    VerifyPods,
)
from darkroom_operator.reconcile.activity import Activity
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

MAX_ACTIONS = 100
"""For one slot in one pass."""
MAX_REPEATS = 3
"""Of the same action, whose response did not change what is planned next."""
REFUSED_SECONDS = 1.0
"""Before the next housekeeping after one of its actions was refused."""
HOUSEKEEPING_BATCH = 200
"""Actions of one housekeeping; the slots are looked at in between."""
LOW_PRIORITY_UPDATES, LOW_PRIORITY_SECONDS = 20, 5.0
"""At most 20 low-priority status updates in 5 s, however many jobs there are."""
HOUSEKEEPING_CPU_SHARE = 0.05
"""The share of a CPU core that planning the housekeeping may use: with very many jobs it takes a while."""
API_SERVER = "the API server"
IDLE_SECONDS = 30.0
"""The longest time between two passes."""
STUCK_SECONDS = 120.0
"""Passes are at most 30 s apart, a request takes at most 30 s, and a wait after an outage at most 15 s."""
VERIFY_SECONDS = 30.0
"""The interval at which pod and job of each run are read from the API server: a watch may miss a deletion."""


class Reconciler:
    """Waits for changes and makes passes."""

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
        activity: Activity | None = None,
    ) -> None:
        self._cache = cache
        self._executor = executor
        self._settings = settings
        self._template = template_hash(settings) if settings.keeps_pods_warm else None
        self._clock = clock
        self._monotonic = monotonic
        self._cpu_seconds = cpu_seconds
        self._is_leader = is_leader
        self._metrics = metrics or Metrics()
        self._activity = activity or Activity(monotonic)
        self._woken = asyncio.Event()
        self._wakes = 0
        self._backoff = ExponentialBackoff(monotonic)
        self._quota = QuotaBackoff(monotonic)
        self._housekeeping_due = 0.0
        self._low_priority = RateLimiter(LOW_PRIORITY_UPDATES, LOW_PRIORITY_SECONDS, monotonic)
        self._verified = self._monotonic()
        self._last_activity = self._monotonic()

    def wake(self) -> None:
        """Something has changed."""
        self._wakes += 1
        self._woken.set()

    def record_activity(self) -> None:
        """The operator makes progress, with or without success."""
        self._last_activity = self._monotonic()

    def liveness_error(self) -> str | None:
        """For the liveness probe: what is wrong, or None."""
        idle = self._monotonic() - self._last_activity
        return f"the reconcile loop has made no progress for {idle:.0f} s" if idle > STUCK_SECONDS else None

    async def run(self) -> None:
        """Reconcile forever, with growing waits while the API server does not answer."""
        while True:
            self._woken.clear()
            if not self._is_leader():
                self.record_activity()
                await self._sleep(IDLE_SECONDS)
                continue
            try:
                next_pass_seconds = await self.once()
            except UnreachableError as error:
                self.record_activity()
                wait_seconds = self._backoff.record_failure(API_SERVER)
                log.warning("%s; retrying in %.1f s", error, wait_seconds)
                await asyncio.sleep(wait_seconds)
                continue
            self._backoff.reset(API_SERVER)
            self.record_activity()
            await self._sleep(next_pass_seconds)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def once(self) -> float:
        """One pass: all that can be done now. Returns the seconds until the next pass, unless something changes."""
        began = self._monotonic()
        try:
            with self._activity.in_pass():
                return await self._pass()
        finally:
            self._metrics.time_reconcile(self._monotonic() - began)

    async def _pass(self) -> float:
        # 1. Verify pod and job of each run, now and then: a watch may have missed their deletion.
        await self._verify()
        # 2. Advance each slot, action by action, until there is only waiting.
        await self._advance_slots()
        # 3. Housekeeping: statuses of waiting jobs, stray pods, expired jobs.
        housekeeping_seconds = await self._run_housekeeping()
        # 4. Sleep until the next deadline or retry.
        deadline_seconds = self._seconds_until(next_deadline(self._snapshot()))
        retries = (self._backoff.next_retry_seconds(), self._quota.next_retry_seconds())
        return max(0.0, min(deadline_seconds, housekeeping_seconds, *(each for each in retries if each is not None)))

    def _seconds_until(self, moment: datetime | None) -> float:
        """Until shortly after the moment; at most `IDLE_SECONDS`."""
        return IDLE_SECONDS if moment is None else min(IDLE_SECONDS, (moment - self._clock()).total_seconds() + 0.01)

    async def _verify(self) -> None:
        if self._monotonic() - self._verified < VERIFY_SECONDS:
            return
        self._verified = self._monotonic()
        for slot in self._snapshot().slots.values():
            if (pod_uid := slot.pod_uid or slot.idle_pod_uid) is not None:
                await self._try(VerifyPods(slot.number, pod_uid), ("verify", slot.number))
            if slot.holder and slot.pod_uid:
                await self._try(VerifyHolder(slot), ("verify", slot.number))

    async def _advance_slots(self) -> None:
        for number in self._snapshot().slots:
            if not self._backoff.remaining_seconds(number):
                await self._advance(number)

    async def _advance(self, number: int) -> None:
        """Action after action, until this slot can only wait."""
        last: Action | None = None
        repeats = 0
        for _ in range(MAX_ACTIONS):
            snapshot = self._snapshot()
            slot = snapshot.slots.get(number)
            action = None if slot is None else plan_slot(slot, snapshot, self._settings.retry_wait)
            if action is None or self._must_wait_for_quota(action):
                self._backoff.reset(number)
                return
            repeats = repeats + 1 if action == last else 0
            if repeats == MAX_REPEATS:
                break
            self._activity.record_slot_action()
            if not await self._try(action, number):
                return
            last = action
        wait_seconds = self._backoff.record_failure(number)
        log.error("slot %d is not making progress at %s; retrying in %.1f s", number, type(last).__name__, wait_seconds)

    def _must_wait_for_quota(self, action: Action) -> bool:
        """Only the creation of the pod waits for a quota; everything else about its job is done meanwhile."""
        return isinstance(action, CreatePod) and self._quota.must_wait(action.slot, self._cache.pods.view)

    async def _try(self, action: Action, key: Hashable) -> bool:
        """Send an action. False if it was refused, or if this operator is not the leader any longer. Raises
        `UnreachableError`, which ends the pass."""
        if not self._is_leader():
            return False
        try:
            if isinstance(action, CreatePod):
                return await self._create_pod(action)
            await self._executor.send(action)
        except UnreachableError:
            raise
        except ApiError as error:
            log.warning("%s; retrying in %.1f s", error, self._backoff.record_failure(key))
            return False
        finally:
            self.record_activity()
        return True

    async def _create_pod(self, action: CreatePod) -> bool:
        """False if the pod exceeded a quota."""
        try:
            await self._executor.send(action)
        except QuotaExceededError as error:
            seconds = self._quota.record_refusal(action.slot, self._cache.pods.view)
            log.info("%s; retrying in %.1f s, or when a run ends", error, seconds)
            return False
        self._quota.reset(action.slot)
        return True

    async def _run_housekeeping(self) -> float:
        """Send a batch, unless it is too early to plan again. Returns the seconds until the next housekeeping."""
        early_seconds = self._housekeeping_due - self._monotonic()
        if early_seconds > 0:
            return early_seconds
        actions, due_seconds = self._plan_housekeeping()
        wakes, changes = self._wakes, self._cache.changes
        for action in actions[:HOUSEKEEPING_BATCH]:
            if wakes != self._wakes:  # A slot may be free: it is assigned before the other statuses are written.
                wakes = self._wakes
                await self._advance_slots()
            if isinstance(action, (UpdateQueuePosition, ObserveGeneration)):
                self._low_priority.use()
            if not await self._try(action, _backoff_key(action)):
                return REFUSED_SECONDS  # If the API server has a problem, it would refuse the others as well.
            self._backoff.reset(_backoff_key(action))
        # A change may require more housekeeping; a response that changes nothing does not.
        if len(actions) > HOUSEKEEPING_BATCH or self._cache.changes != changes:
            return 0.0
        return min(due_seconds, self._low_priority.seconds_until_available() or IDLE_SECONDS)

    def _plan_housekeeping(self) -> tuple[list[Action], float]:
        """A batch of actions, plus one if there are more; and the seconds until the next one is due. Also sets when to
        plan again, so that planning stays within its share of the CPU."""
        began = self._cpu_seconds()
        snapshot = self._snapshot()
        planned = housekeeping(snapshot, self._low_priority.available)
        due = (action for action in planned if not self._backoff.remaining_seconds(_backoff_key(action)))
        actions = list(islice(due, HOUSEKEEPING_BATCH + 1))
        due_seconds = self._seconds_until(next_due(snapshot))
        spent_seconds = self._cpu_seconds() - began
        self._housekeeping_due = self._monotonic() + spent_seconds * (1 / HOUSEKEEPING_CPU_SHARE - 1)
        return actions, due_seconds

    def _snapshot(self) -> Snapshot:
        return self._cache.snapshot(self._clock(), self._settings.slots, self._template)


def _backoff_key(action: Action) -> Hashable:
    """What waits when a housekeeping action is refused: this type of action for this object."""
    subject = action.pod if isinstance(action, DeletePod) else getattr(action, "job", None)
    return type(action), getattr(subject, "uid", None)
