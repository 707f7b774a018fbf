"""Tells the API server what became of a pod, for as long as it takes. One for each pod; used by its worker.

The newest status replaces one that could not be sent yet, and requests never overtake each other.
"""

import asyncio
import contextlib
import logging

from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube.client import STRATEGIC_PATCH, Json, KubeClient, retry_until_answered
from darkroom_local.node.pod_status import is_ready

log = logging.getLogger(__name__)


class PodStatusWriter:
    """The status of exactly one pod: a namesake with another uid is never touched."""

    def __init__(self, client: KubeClient, path: str, uid: str) -> None:
        self._client = client
        self._path = path
        self._uid = uid
        self._newest: Json | None = None
        self._wanted = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()

    def tell(self, status: Json) -> None:
        """Send this status, soon, in place of any before it."""
        self._newest = status
        self._told.clear()
        self._wanted.set()

    def repair(self, shown: Json) -> None:
        """Send the newest status once more when the API server shows another readiness: it was set from afar.

        A control plane that hears nothing of a node sets the Ready of its pods to False, and leaves it to the node to
        take it back, as a kubelet does (`needsReconcile` of its status manager).
        """
        if self._newest is not None and self._told.is_set() and is_ready(self._newest) != is_ready(shown):
            self.tell(self._newest)

    async def told(self) -> None:
        """Wait until everything is told, or the pod is gone."""
        await self._told.wait()

    def give_up(self) -> None:
        """Nobody waits any longer."""
        self._told.set()

    async def run(self) -> None:
        """Send statuses until it is cancelled."""
        while True:
            await self._wanted.wait()
            status = self._newest
            try:
                await retry_until_answered(self._send)
            except (NotFoundError, ConflictError):
                log.info("%s is gone: nobody is told of it", self._path)
            except ApiError as error:
                log.error("the status of %s was refused: %s", self._path, error)
            if self._newest is status:
                self._wanted.clear()
                self._told.set()

    async def delete(self) -> None:
        """Remove the pod from the API server: nothing of it is running any more."""

        async def attempt() -> Json:
            await self._client.delete(self._path, uid=self._uid, grace_seconds=0)
            return {}

        with contextlib.suppress(NotFoundError, ConflictError):
            await retry_until_answered(attempt)

    async def _send(self) -> Json:
        document = {"metadata": {"uid": self._uid}, "status": self._newest}
        return await self._client.patch(f"{self._path}/status", document, STRATEGIC_PATCH)
