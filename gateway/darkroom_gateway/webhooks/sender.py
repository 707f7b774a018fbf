"""Background task that sends webhooks, of every job in the namespace that names one. Started by app.py.

1. The outbox knows which events are due, from the store that the informer keeps up to date.
2. One gateway of the namespace sends: the one that holds the Lease.
3. Each attempt reads the job first, so that what another gateway has recorded is not sent again.
4. Its outcome is recorded in the job. If the gateway dies in between, the event is sent again, with the same id.

A slow receiver delays only its own webhooks: each host has a few attempts at a time.
"""

import asyncio
import contextlib
import logging
import random
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from darkroom_contract.jobs import Job
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.webhooks import Delivery, DeliveryState, read_record
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS, CLUSTER_WRITE_SECONDS
from darkroom_gateway.errors import GatewayError, UnavailableError
from darkroom_gateway.metrics import Metrics
from darkroom_gateway.outgoing.sessions import read_url
from darkroom_gateway.webhooks.cluster import WebhookCluster
from darkroom_gateway.webhooks.election import SenderElection
from darkroom_gateway.webhooks.messages import Message
from darkroom_gateway.webhooks.outbox import Outbox, Parcel
from darkroom_gateway.webhooks.receiver import WebhookReceivers
from darkroom_gateway.webhooks.schedule import after_attempt, due_times

log = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
"""Longest time between two looks at what is due."""
OUTAGE_SECONDS = 5.0
"""How long an attempt, or the record of one, waits while the API server does not answer."""
MAX_ATTEMPTS = 64
"""Concurrent attempts."""
MAX_ATTEMPTS_OF_HOST = 4
STOP_SECONDS = 2.0
"""How long attempts in progress may take at shutdown."""

T = TypeVar("T")

Compose = Callable[[Job, WebhookEvent], Message]


def _now() -> datetime:
    return datetime.now(UTC)


def _host_of(job: Job | None) -> str:
    """The host of the webhook; empty for an address that can't be used, which the attempt reports."""
    url = None if job is None else read_url(job.spec.webhook or "")
    return "" if url is None else url.host or ""


class WebhookSender:
    """Sends the webhooks of one namespace."""

    def __init__(
        self,
        outbox: Outbox,
        cluster: WebhookCluster,
        backend: Backend,
        election: SenderElection,
        receivers: WebhookReceivers,
        compose: Compose,
        metrics: Metrics,
        keep_deleted: timedelta,
    ) -> None:
        """`keep_deleted` is how long a gateway that is not elected remembers deleted jobs, in case it takes over.

        They have no record: if the sender resigned before, the next one would send their events again. So it keeps the
        Lease for twice as long, as the others may notice a deletion later.
        """
        self._outbox = outbox
        self._cluster = cluster
        self._backend = backend
        self._election = election
        self._receivers = receivers
        self._compose = compose
        self._metrics = metrics
        self._keep_deleted = keep_deleted
        self._attempts: dict[Parcel, asyncio.Task[None]] = {}
        self._all = asyncio.Semaphore(MAX_ATTEMPTS)
        self._hosts: weakref.WeakValueDictionary[str, asyncio.Semaphore] = weakref.WeakValueDictionary()

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            while True:
                try:
                    await self._round()
                except Exception:
                    log.exception("webhooks are delayed")
                await self._outbox.changes.wait(ROUND_SECONDS)
        finally:
            await self._stop()

    async def _round(self) -> None:
        self._outbox.collect(_now())
        self._metrics.set_pending_webhooks(self._outbox.pending)
        if self._outbox.is_idle(_now() - 2 * self._keep_deleted):
            await self._election.resign()
        elif await self._election.campaign():
            for parcel in self._outbox.due(_now()):
                self._begin(parcel)
        else:
            self._outbox.forget_deleted(_now() - self._keep_deleted)

    def _begin(self, parcel: Parcel) -> None:
        if parcel not in self._attempts:
            task = self._attempts[parcel] = asyncio.create_task(self._attempt(*parcel))
            task.add_done_callback(lambda _: self._attempts.pop(parcel))

    async def _attempt(self, uid: str, event: WebhookEvent) -> None:
        try:
            await self._deliver(uid, event)
        except GatewayError as error:
            log.warning("a webhook is delayed: %s", error)
            self._outbox.postpone((uid, event), _now() + timedelta(seconds=OUTAGE_SECONDS))
        except Exception:
            log.exception("a webhook is delayed")
            self._outbox.postpone((uid, event), _now() + timedelta(seconds=OUTAGE_SECONDS))

    async def _deliver(self, uid: str, event: WebhookEvent) -> None:
        """Send one event once, and record the outcome."""
        known = self._outbox.job(uid)
        async with self._hosts.setdefault(_host_of(known), asyncio.Semaphore(MAX_ATTEMPTS_OF_HOST)), self._all:
            if known is None or not self._election.is_elected():
                return
            job = await self._refresh(known)
            due = due_times(job, _now()).get(event)
            if due is None or due > _now() or job.spec.webhook is None:
                return
            outcome = await self._receivers.deliver(job.spec.webhook, self._compose(job, event))
        delivery = after_attempt(read_record(job).get(event), outcome, _now(), random.random())  # noqa: S311 (no secret)
        self._outbox.record(job, event, delivery, _now())
        self._report(job, event, delivery)
        await self._record(job, event, delivery)

    async def _refresh(self, known: Job) -> Job:
        """The job as it is now, or as it was last seen if it no longer exists."""
        now = await self._backend.call(CLUSTER_READ_SECONDS, self._cluster.read, known)
        if now is None:
            return self._outbox.delete(self._outbox.job(known.uid) or known, _now())
        return self._outbox.update(now, _now())

    async def _record(self, job: Job, event: WebhookEvent, delivery: Delivery) -> None:
        """Otherwise another gateway would send the event again; this one remembers it in its outbox."""
        kept = await self._write(job, f"the delivery of {event}", self._cluster.record, event, delivery)
        if kept is False:
            self._outbox.delete(self._outbox.job(job.uid) or job, _now())
        if delivery.state is DeliveryState.GIVEN_UP:
            note = f"The webhook did not get {event}: {delivery.detail}"
            await self._write(job, f"the failure of {event}", self._cluster.post_failure, event, note)

    async def _write(self, job: Job, what: str, function: Callable[..., T], *arguments: object) -> T | None:
        """Call the API server until it answers. None when it refuses, which no repetition changes, and for a deleted
        job."""
        while not self._outbox.is_deleted(job.uid):
            try:
                return await self._backend.call(CLUSTER_WRITE_SECONDS, function, job, *arguments)
            except UnavailableError as error:
                log.warning("%s of %s is not recorded yet: %s", what, job.key, error)
                await asyncio.sleep(OUTAGE_SECONDS)
            except GatewayError as error:
                log.warning("%s of %s can't be recorded: %s", what, job.key, error)
                return None
        return None

    def _report(self, job: Job, event: WebhookEvent, delivery: Delivery) -> None:
        """Log and count. The address is not logged: it may be a secret."""
        self._metrics.count_webhook(delivery.state)
        if delivery.state is DeliveryState.DELIVERED:
            log.info("delivered %s of %s to its webhook", event, job.key)
        elif delivery.state is DeliveryState.GIVEN_UP:
            log.warning("gave up sending %s of %s to its webhook: %s", event, job.key, delivery.detail)
        else:
            log.info(
                "the webhook of %s did not take %s, next try at %s: %s",
                job.key,
                event,
                delivery.next_attempt_time,
                delivery.detail,
            )

    async def _stop(self) -> None:
        tasks = list(self._attempts.values())
        if tasks:
            _, unfinished = await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        for job in self._outbox.deleted() if self._election.is_elected() else ():
            log.warning("%s is deleted, and its webhook did not get all its events", job.key)
        await self._election.resign()
        with contextlib.suppress(Exception):
            await self._receivers.close()
