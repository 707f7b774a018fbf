"""Leader election by the Lease `darkroom-operator`, as in client-go: only the leader acts.

`main.py` runs it beside the reconcile loop, which calls `is_leader()` before each action. It saves work; that never two
runs are active at once does not depend on it (docs/decisions/0001 and 0006). Each candidate measures a term with its
own monotonic clock, from the moment when it last saw the Lease change: the timestamps in a Lease are informational.
"""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from darkroom_contract import names
from darkroom_operator.errors import AlreadyExistsError, ApiError, ConflictError, NotFoundError
from darkroom_operator.kube.client import KubeClient
from darkroom_operator.kube.objects import LEASES, Json, micro_time
from darkroom_operator.kube.watch_monitor import WatchMonitor
from darkroom_operator.settings import Settings

log = logging.getLogger(__name__)

LEASE = "darkroom-operator"
LABELS = {names.LABEL_COMPONENT: "operator", names.LABEL_PART_OF: names.PART_OF}
"""Different from those of a slot."""
RELEASE_SECONDS = 2.0
"""The limit for giving up the Lease at shutdown. If the API server takes longer, the term expires instead."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Term:
    """The Lease as read from the API server."""

    version: str
    holder: str | None
    seconds: float | None
    """Its duration without renewal, as set by the holder."""
    transitions: int


def read_term(document: Json) -> Term:
    spec = document.get("spec") or {}
    return Term(
        version=document["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or None,
        seconds=spec.get("leaseDurationSeconds"),
        transitions=spec.get("leaseTransitions") or 0,
    )


def may_claim(term: Term | None, unchanged_seconds: float, identity: str, default_seconds: float) -> bool:
    """Whether `identity` may take over a term that it has seen unchanged for `unchanged_seconds`."""
    if term is None or term.holder in (None, identity):
        return True
    return unchanged_seconds >= (term.seconds or default_seconds)


def claim(term: Term | None, identity: str, seconds: int, now: datetime) -> Json:
    """The new Lease, or the patch of the existing one, with which `identity` starts or renews its term."""
    spec: Json = {"holderIdentity": identity, "leaseDurationSeconds": seconds, "renewTime": micro_time(now)}
    if term is None or term.holder != identity:
        spec |= {"acquireTime": micro_time(now), "leaseTransitions": 0 if term is None else term.transitions + 1}
    if term is None:
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        return kind | {"metadata": {"name": LEASE, "labels": LABELS}, "spec": spec}
    return {"metadata": {"resourceVersion": term.version, "labels": LABELS}, "spec": spec}


def resignation(term: Term) -> Json:
    """The patch that lets another candidate claim the Lease at once."""
    return {"metadata": {"resourceVersion": term.version}, "spec": {"holderIdentity": None, "renewTime": None}}


def new_identity() -> str:
    """A unique identity for this process."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class LeaderElector:
    """One candidate for the leadership."""

    def __init__(
        self,
        kube: KubeClient,
        settings: Settings,
        watch_monitor: WatchMonitor,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._settings = settings
        self._watch_monitor = watch_monitor
        self._clock = clock
        self._monotonic = monotonic
        self._identity = settings.identity or new_identity()
        self._term: Term | None = None
        self._unchanged_since = monotonic()
        self._until = NEVER
        """When the own term expires, by the monotonic clock."""
        self._last_message = ""

    def is_leader(self) -> bool:
        """Whether the own term is valid."""
        return self._monotonic() < self._until

    async def announce(self) -> None:
        """Log who the leader is, at the start and before anything is listed."""
        try:
            async with asyncio.timeout(self._settings.renew_seconds):
                term: Term | None = read_term(await self._kube.get_lease(LEASE))
        except NotFoundError:
            term = None
        except (ApiError, TimeoutError) as error:
            self._log_change(
                f"{self._identity} has started and can't read the Lease {LEASE} yet: {error or 'no answer'}"
            )
            return
        self._log_change(self._waiting_message(term))

    async def run(self, gained: Callable[[], None]) -> None:
        """Renew or claim forever; `gained` is called whenever an own term has started."""
        while True:
            was_leader = self.is_leader()
            try:
                async with asyncio.timeout(self._settings.renew_seconds):
                    await self.attempt()
            except (ApiError, TimeoutError) as error:
                self._watch_monitor.reset()
                self._log_change(f"can't renew or read the Lease {LEASE}: {error or 'no answer'}")
            else:
                self._log_change(self._state_message())
            if self.is_leader() and not was_leader:
                gained()
            await asyncio.sleep(self._settings.retry_seconds)

    async def attempt(self) -> None:
        """Read the Lease, unless this is the leader, and claim or renew it if allowed. Raises `ApiError`."""
        if not self.is_leader():
            await self._read()
        began = self._monotonic()
        if not may_claim(self._term, began - self._unchanged_since, self._identity, self._settings.lease_seconds):
            return
        document = claim(self._term, self._identity, self._settings.lease_seconds, self._clock())
        try:
            write = self._kube.create_lease(document) if self._term is None else self._patch(document)
            self._observe(await write)
        except (AlreadyExistsError, ConflictError, NotFoundError):
            await self._read()  # Another candidate was faster, or the Lease was edited: the next attempt decides.
            return
        # Counted from before the request: other candidates count from when they see the Lease, which is later.
        self._until = began + self._settings.renew_seconds

    async def resign(self) -> None:
        """Give up the Lease at shutdown, after the last action: the next leader need not wait."""
        self._until = NEVER
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._read()
                if self._term is not None and self._term.holder == self._identity:
                    await self._patch(resignation(self._term))
        except (ApiError, TimeoutError) as error:
            log.warning("the Lease %s was not given up: %s", LEASE, error or "no answer")

    async def _patch(self, document: Json) -> Json:
        return await self._kube.patch_lease(LEASE, document)

    async def _read(self) -> None:
        try:
            self._observe(await self._kube.get_lease(LEASE))
        except NotFoundError:
            self._term = None

    def _observe(self, document: Json) -> None:
        term = read_term(document)
        if term != self._term:
            self._term, self._unchanged_since = term, self._monotonic()
        if term.holder != self._identity:
            self._until = NEVER
        self._watch_monitor.expect(LEASES, int(term.version))

    def _state_message(self) -> str:
        if self.is_leader():
            return f"{self._identity} is the leader"
        return self._waiting_message(self._term)

    def _waiting_message(self, term: Term | None) -> str:
        """What the candidate waits for. The text changes only with the holder."""
        if term is None or term.holder in (None, self._identity):
            return f"{self._identity} is a candidate: the Lease {LEASE} has no other holder and is claimed in a moment"
        seconds = term.seconds or self._settings.lease_seconds
        held = f"{term.holder} holds the Lease {LEASE} until it fails to renew it for {seconds:g} s"
        return f"{self._identity} is a candidate: {held}"

    def _log_change(self, message: str) -> None:
        """Log a message once, not at every attempt."""
        if message != self._last_message:
            log.info("%s", message)
        self._last_message = message
