"""When to ask for a pod again that a ResourceQuota had no room for. Used by `reconcile.py`.

The refusal says nothing about the job: it is *not yet*. So it is tried again soon, after waits that grow to a few
seconds, since what takes the room may be none of ours; and at once when one of our own pods has ended meanwhile.
"""

import time
from collections.abc import Callable, Mapping

from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.backoff import ExponentialBackoff

LONGEST_WAIT_SECONDS = 5.0
"""One small request in so many seconds is all that a full quota costs."""

Pods = Mapping[str, RunnerPod]
"""By uid."""


class QuotaBackoff:
    """The slots whose next pod had no room."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff = ExponentialBackoff(clock, LONGEST_WAIT_SECONDS)
        self._taking_room: dict[int, frozenset[str]] = {}
        """The pods that might end and make room, by slot."""

    def refused(self, slot: int, pods: Pods) -> float:
        """The seconds until it is worth another try, unless a pod ends before."""
        self._taking_room[slot] = frozenset(uid for uid, pod in pods.items() if not pod.terminated)
        return self._backoff.refused(slot)

    def accepted(self, slot: int) -> None:
        self._taking_room.pop(slot, None)
        self._backoff.accepted(slot)

    def must_wait(self, slot: int, pods: Pods) -> bool:
        """Whether it is too early to try again."""
        if any(uid not in pods or pods[uid].terminated for uid in self._taking_room.get(slot, ())):
            self.accepted(slot)
        return self._backoff.remaining(slot) > 0

    def soonest(self) -> float | None:
        """Seconds until some slot may try again; None when none waits."""
        return self._backoff.soonest()
