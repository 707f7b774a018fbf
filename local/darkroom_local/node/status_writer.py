"""Writes the status of one pod to the API server, retrying until it is answered. Owned by the pod's worker.

A newer status replaces one that was not sent yet, and requests are sent one at a time.
"""

import asyncio
import contextlib
import logging

from darkroom_local.errors import ApiError, ConflictError, NotFoundError
from darkroom_local.kube.client import STRATEGIC_PATCH, Json, KubeClient
from darkroom_local.kube.retry import retry_until_answered
from darkroom_local.node.pod_status import is_ready

log = logging.getLogger(__name__)


class PodStatusWriter:
    """Writes the status of exactly one pod; another pod of the same name, with another uid, is never changed."""

    def __init__(self, client: KubeClient, path: str, uid: str) -> None:
        self._client = client
        self._path = path
        self._uid = uid
        self._newest: Json | None = None
        self._pending = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, status: Json) -> None:
        """Send this status soon, in place of any that was not sent yet."""
        self._newest = status
        self._idle.clear()
        self._pending.set()

    def correct(self, actual: Json) -> None:
        """Send the newest status again when the API server's copy differs in readiness.

        A control plane sets Ready to False when it loses contact with the node, and expects the node to set it back, as
        the kubelet does (`needsReconcile` of its status manager).
        """
        if self._newest is not None and self._idle.is_set() and is_ready(self._newest) != is_ready(actual):
            self.submit(self._newest)

    async def flush(self) -> None:
        """Wait until every status was sent, or the pod is gone."""
        await self._idle.wait()

    def close(self) -> None:
        """End the wait of callers of `flush`."""
        self._idle.set()

    async def run(self) -> None:
        """Send statuses until cancelled."""
        while True:
            await self._pending.wait()
            status = self._newest
            try:
                await retry_until_answered(self._send)
            except (NotFoundError, ConflictError):
                log.info("%s is gone: its status is dropped", self._path)
            except ApiError as error:
                log.error("the API server rejected the status of %s: %s", self._path, error)
            if self._newest is status:
                self._pending.clear()
                self._idle.set()

    async def delete_pod(self) -> None:
        """Delete the pod from the API server, without a grace period: all its processes have ended."""

        async def attempt() -> Json:
            await self._client.delete(self._path, uid=self._uid, grace_seconds=0)
            return {}

        with contextlib.suppress(NotFoundError, ConflictError):
            await retry_until_answered(attempt)

    async def _send(self) -> Json:
        document = {"metadata": {"uid": self._uid}, "status": self._newest}
        return await self._client.patch(f"{self._path}/status", document, STRATEGIC_PATCH)
