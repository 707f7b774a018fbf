"""When to retry a pod that exceeded a ResourceQuota. Used by `controller.py`.

The refusal says nothing about the job: the pod may fit later. It is retried after waits that grow to a few seconds,
since a pod of another owner may use up the quota, and at once when one of our own pods has terminated.
"""

import time
from collections.abc import Callable, Mapping

from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.backoff import ExponentialBackoff

LONGEST_WAIT_SECONDS = 5.0
"""A full quota costs one small request in this time."""

Pods = Mapping[str, RunnerPod]
"""By uid."""


class QuotaBackoff:
    """The slots whose next pod exceeded a quota."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff = ExponentialBackoff(clock, LONGEST_WAIT_SECONDS)
        self._blocking: dict[int, frozenset[str]] = {}
        """By slot, our own pods whose end may make room."""

    def record_refusal(self, slot: int, pods: Pods) -> float:
        """The seconds until the next try, unless a pod terminates before."""
        self._blocking[slot] = frozenset(uid for uid, pod in pods.items() if not pod.terminated)
        return self._backoff.record_failure(slot)

    def reset(self, slot: int) -> None:
        self._blocking.pop(slot, None)
        self._backoff.reset(slot)

    def must_wait(self, slot: int, pods: Pods) -> bool:
        if any(uid not in pods or pods[uid].terminated for uid in self._blocking.get(slot, ())):
            self.reset(slot)
        return self._backoff.remaining_seconds(slot) > 0

    def next_retry_seconds(self) -> float | None:
        """Until any slot may try again; None if no slot waits."""
        return self._backoff.next_retry_seconds()
