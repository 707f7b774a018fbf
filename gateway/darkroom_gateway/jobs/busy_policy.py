"""What becomes of a request while a job runs: it queues, or it is refused. Asked by training/service.py and
generation/service.py.

Refusing is a courtesy of the gateway, no lock: a request that comes after another was taken, and before the operator
gave that one the slot, is taken too, and its job waits. One at a time is the operator's promise, and holds either way.
"""

from urllib.parse import urlencode

from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS
from darkroom_gateway.errors import BusyError
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.settings import BusyPolicy


class BusyCheck:
    """Whether there is room."""

    def __init__(self, cluster: KubeClient, backend: Backend, policy: BusyPolicy) -> None:
        self._cluster = cluster
        self._backend = backend
        self._policy = policy

    async def require_free_slot(self) -> None:
        """Raises `BusyError` when something runs and requests are not to wait for it, or `ClusterUnavailableError`."""
        if self._policy is BusyPolicy.QUEUE:
            return
        holders = await self._backend.call(CLUSTER_READ_SECONDS, self._cluster.slot_holders)
        if holders:
            raise BusyError(refusal(holders[0]))


def refusal(holder: str) -> str:
    """For people: who runs, and how to learn when that is over. `holder` is `Kind/name`, or empty."""
    kind, _, name = holder.partition("/")
    look = f"GET /jobs/{name}?{urlencode({'kind': kind})}" if name else "GET /jobs?phase=Running"
    return (
        f"{holder or 'Another job'} is running, and this gateway takes no job while another one runs. "
        f"Send the request again when it has ended: {look} tells how it goes."
    )
