"""Who acts, of several operators: the one whose name is in the Lease `darkroom-operator`, as client-go elects leaders.

`main.py` runs it beside the reconcile, which asks `is_leader()` before each action. It saves work; that no two runs are
ever alive does not depend on it (docs/decisions/0001 and 0006). A term is judged by each candidate's own monotonic
clock, from when it last saw the Lease change: the times in a Lease are for people.
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
"""Not those of a slot."""
RELEASE_SECONDS = 2.0
"""At the end. If the API server takes longer, the term runs out instead."""
NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Term:
    """The Lease as the API server shows it."""

    version: str
    holder: str | None
    seconds: float | None
    """How long it lasts without being renewed, as its holder has promised."""
    transitions: int


def read_term(document: Json) -> Term:
    spec = document.get("spec") or {}
    return Term(
        version=document["metadata"]["resourceVersion"],
        holder=spec.get("holderIdentity") or None,
        seconds=spec.get("leaseDurationSeconds"),
        transitions=spec.get("leaseTransitions") or 0,
    )


def may_claim(term: Term | None, unchanged_seconds: float, identity: str, usual_seconds: float) -> bool:
    """Whether `identity` may write its name over a term that it has seen unchanged for so long."""
    if term is None or term.holder in (None, identity):
        return True
    return unchanged_seconds >= (term.seconds or usual_seconds)


def claim(term: Term | None, identity: str, seconds: int, now: datetime) -> Json:
    """The Lease, or the patch of the one there is, by which `identity` begins a term or goes on with its own."""
    spec: Json = {"holderIdentity": identity, "leaseDurationSeconds": seconds, "renewTime": micro_time(now)}
    if term is None or term.holder != identity:
        spec |= {"acquireTime": micro_time(now), "leaseTransitions": 0 if term is None else term.transitions + 1}
    if term is None:
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        return kind | {"metadata": {"name": LEASE, "labels": LABELS}, "spec": spec}
    return {"metadata": {"resourceVersion": term.version, "labels": LABELS}, "spec": spec}


def resignation(term: Term) -> Json:
    """The patch after which anybody may claim it at once."""
    return {"metadata": {"resourceVersion": term.version}, "spec": {"holderIdentity": None, "renewTime": None}}


def new_identity() -> str:
    """Of this process alone."""
    return f"{socket.gethostname()}_{secrets.token_hex(4)}"


class LeaderElector:
    """One candidate."""

    def __init__(
        self,
        kube: KubeClient,
        settings: Settings,
        watches: WatchMonitor,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._settings = settings
        self._watch_monitor = watches
        self._clock = clock
        self._monotonic = monotonic
        self._identity = settings.identity or new_identity()
        self._term: Term | None = None
        self._unchanged_since = monotonic()
        self._until = NEVER
        """When to stop acting, unless the term is renewed before."""
        self._said = ""

    def is_leader(self) -> bool:
        """Whether to act: its term is young enough."""
        return self._monotonic() < self._until

    async def announce(self) -> None:
        """At the start, before anything is listed: log who leads, so that a candidate that waits says for whom."""
        try:
            async with asyncio.timeout(self._settings.renew_seconds):
                term: Term | None = read_term(await self._kube.get_lease(LEASE))
        except NotFoundError:
            term = None
        except (ApiError, TimeoutError) as error:
            self._say(f"{self._identity} starts, and can't read the Lease {LEASE} yet: {error or 'no answer'}")
            return
        self._say(self._waiting(term))

    async def run(self, gained: Callable[[], None]) -> None:
        """For ever; `gained` is called whenever a term of its own has begun."""
        while True:
            held = self.is_leader()
            try:
                async with asyncio.timeout(self._settings.renew_seconds):
                    await self.turn()
            except (ApiError, TimeoutError) as error:
                self._watch_monitor.excuse()
                self._say(f"can't renew or read the Lease {LEASE}: {error or 'no answer'}")
            else:
                self._say(self._standing())
            if self.is_leader() and not held:
                gained()
            await asyncio.sleep(self._settings.retry_seconds)

    async def turn(self) -> None:
        """Look, unless it leads, and claim what may be claimed. Raises `ApiError`."""
        if not self.is_leader():
            await self._look()
        began = self._monotonic()
        if not may_claim(self._term, began - self._unchanged_since, self._identity, self._settings.lease_seconds):
            return
        document = claim(self._term, self._identity, self._settings.lease_seconds, self._clock())
        try:
            write = self._kube.create_lease(document) if self._term is None else self._patch(document)
            self._see(await write)
        except (AlreadyExistsError, ConflictError, NotFoundError):
            await self._look()  # Somebody was faster, or meddled: the next turn tells.
            return
        # From before it was asked: a candidate begins to count when it sees the answer's Lease, which is later.
        self._until = began + self._settings.renew_seconds

    async def resign(self) -> None:
        """At the end, when nothing acts any more: the next leader need not wait."""
        self._until = NEVER
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._look()
                if self._term is not None and self._term.holder == self._identity:
                    await self._patch(resignation(self._term))
        except (ApiError, TimeoutError) as error:
            log.warning("the Lease %s was not given back: %s", LEASE, error or "no answer")

    async def _patch(self, document: Json) -> Json:
        return await self._kube.patch_lease(LEASE, document)

    async def _look(self) -> None:
        try:
            self._see(await self._kube.get_lease(LEASE))
        except NotFoundError:
            self._term = None

    def _see(self, document: Json) -> None:
        term = read_term(document)
        if term != self._term:
            self._term, self._unchanged_since = term, self._monotonic()
        if term.holder != self._identity:
            self._until = NEVER
        self._watch_monitor.expect(LEASES, int(term.version))

    def _standing(self) -> str:
        if self.is_leader():
            return f"{self._identity} leads"
        return self._waiting(self._term)

    def _waiting(self, term: Term | None) -> str:
        """What a candidate waits for. The same text for as long as it is the same holder."""
        if term is None or term.holder in (None, self._identity):
            return (
                f"{self._identity} waits for the lead: nobody else holds the Lease {LEASE}, it is claimed in a moment"
            )
        seconds = term.seconds or self._settings.lease_seconds
        held = f"{term.holder} holds the Lease {LEASE} until it fails to renew it for {seconds:g} s"
        return f"{self._identity} waits for the lead: {held}"

    def _say(self, what: str) -> None:
        """Once, not every second."""
        if what != self._said:
            log.info("%s", what)
        self._said = what
