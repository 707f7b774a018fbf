"""Busy policy: whether a submission is queued or refused while a job is running. Called by both submission services.

Refusing is best effort, not a lock: a request that arrives after another one was accepted, and before the operator has
assigned the slot, is accepted too, and its job waits. The operator ensures that one job runs at a time.
"""

from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS
from darkroom_gateway.errors import BusyError
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.settings import BusyPolicy


class BusyCheck:
    """Applies the busy policy of the settings."""

    def __init__(self, kube: KubeClient, backend: Backend, policy: BusyPolicy) -> None:
        self._kube = kube
        self._backend = backend
        self._policy = policy

    async def require_free_slot(self) -> None:
        """Raises `BusyError` if a job holds a slot and the policy is Reject, or `ClusterUnavailableError`."""
        if self._policy is BusyPolicy.QUEUE:
            return
        holders = await self._backend.call(CLUSTER_READ_SECONDS, self._kube.slot_holders)
        if holders:
            raise BusyError(busy_message(holders[0]))


def busy_message(holder: str) -> str:
    """Which job is running, and how to follow it. `holder` is `Kind/name`, or empty."""
    return (
        f"{holder or 'Another job'} is running, and this gateway accepts no jobs while one is running. "
        "Send the request again when it has ended."
    )
