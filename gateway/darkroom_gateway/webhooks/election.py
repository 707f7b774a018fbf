"""Elects the gateway that sends webhooks, by the Lease `darkroom-webhooks`. Used by sender.py.

As in the operator (docs/decisions/0006): each candidate measures a term with its own monotonic clock, from the moment
when it last saw the Lease change. It saves repeated deliveries; that none is lost does not depend on it.
"""

import logging
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS, CLUSTER_WRITE_SECONDS
from darkroom_gateway.errors import GatewayError
from darkroom_gateway.kube.objects import Json
from darkroom_gateway.webhooks.cluster import WebhookCluster, micro_time

log = logging.getLogger(__name__)

ATTEMPTS_PER_TERM = 5
"""The Lease is renewed, or read, five times in its duration, and the holder acts for three of these parts."""
ACTING_SHARE = 3 / ATTEMPTS_PER_TERM
RELEASE_SECONDS = 2.0


def holder_of(lease: Json | None) -> str | None:
    return None if lease is None else (lease.get("spec") or {}).get("holderIdentity") or None


def may_claim(lease: Json | None, unchanged_seconds: float, identity: str, default_seconds: float) -> bool:
    """Whether `identity` may take over a Lease that it has seen unchanged for `unchanged_seconds`."""
    if holder_of(lease) in (None, identity):
        return True
    assert lease is not None
    return unchanged_seconds >= (lease["spec"].get("leaseDurationSeconds") or default_seconds)


class SenderElection:
    """One candidate."""

    def __init__(
        self,
        cluster: WebhookCluster,
        backend: Backend,
        lease_seconds: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._backend = backend
        self._seconds = lease_seconds
        self._monotonic = monotonic
        self._identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        self._lease: Json | None = None
        self._unchanged_since = monotonic()
        self._until = self._next_attempt = float("-inf")

    def is_elected(self) -> bool:
        """Whether the own term is valid."""
        return self._monotonic() < self._until

    async def campaign(self) -> bool:
        """Claim or renew the Lease if that is due and allowed. Returns `is_elected`."""
        if self._monotonic() < self._next_attempt:
            return self.is_elected()
        was_elected = self.is_elected()
        try:
            await self._attempt()
        except GatewayError as error:
            log.warning("webhooks are delayed: %s", error)
        self._next_attempt = self._monotonic() + self._seconds / ATTEMPTS_PER_TERM
        if self.is_elected() and not was_elected:
            log.info("this gateway sends the webhooks of the namespace")
        return self.is_elected()

    async def resign(self) -> None:
        """Give the Lease up, so that the next gateway need not wait."""
        was_elected, self._until = self.is_elected(), float("-inf")
        self._next_attempt = float("-inf")
        if not was_elected:
            return
        try:
            await self._backend.call(RELEASE_SECONDS, self._cluster.write_lease, self._lease, {})
        except GatewayError as error:
            log.warning("the Lease of the webhooks was not given up: %s", error)

    async def _attempt(self) -> None:
        if not self.is_elected():
            self._observe(await self._backend.call(CLUSTER_READ_SECONDS, self._cluster.read_lease))
        began = self._monotonic()
        if not may_claim(self._lease, began - self._unchanged_since, self._identity, self._seconds):
            return
        written = await self._backend.call(CLUSTER_WRITE_SECONDS, self._cluster.write_lease, self._lease, self._term())
        if written is None:  # Another gateway was faster: the next attempt reads it.
            self._until = float("-inf")
            return
        self._observe(written)
        # Counted from before the request: other candidates count from when they see the Lease, which is later.
        self._until = began + self._seconds * ACTING_SHARE

    def _term(self) -> Json:
        now = micro_time(datetime.now(UTC))
        before = (self._lease or {}).get("spec") or {}
        own = {"holderIdentity": self._identity, "leaseDurationSeconds": self._seconds, "renewTime": now}
        if before.get("holderIdentity") == self._identity:
            return {**before, **own}
        return {**own, "acquireTime": now, "leaseTransitions": (before.get("leaseTransitions") or 0) + 1}

    def _observe(self, lease: Json | None) -> None:
        before = None if self._lease is None else self._lease["metadata"]["resourceVersion"]
        after = None if lease is None else lease["metadata"]["resourceVersion"]
        if after != before:
            self._unchanged_since = self._monotonic()
        self._lease = lease
