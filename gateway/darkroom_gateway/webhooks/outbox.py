"""What is to be sent: the jobs with a webhook, and when each of their events is due. Used by sender.py.

A job that no longer exists stays here until its events are settled, with its deliveries recorded in this copy alone.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from darkroom_contract.jobs import Job
from darkroom_contract.specs.webhook_event import WebhookEvent
from darkroom_contract.webhooks import Delivery, may_report, outstanding, read_record, write_record
from darkroom_gateway.errors import UnreadableJobError
from darkroom_gateway.jobs.store import JobStore
from darkroom_gateway.jobs.stored_job import StoredJob
from darkroom_gateway.webhooks.job_changes import WebhookJobChanges
from darkroom_gateway.webhooks.schedule import due_times

log = logging.getLogger(__name__)

MAX_DELETED_JOBS = 10_000
"""Deleted jobs whose events wait in memory. Beyond it the oldest are dropped."""
MAX_UNRECORDED = 10_000
"""Own deliveries that no job records yet."""

Parcel = tuple[str, WebhookEvent]
"""An event of a job, by its uid."""


@dataclass(frozen=True)
class DeletedJob:
    """A job that no longer exists, and when that was noticed."""

    job: Job
    since: datetime


class Outbox:
    """The events that are outstanding."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self.changes = WebhookJobChanges(store)
        self._jobs: dict[str, Job] = {}
        self._deleted: dict[str, DeletedJob] = {}
        self._due: dict[Parcel, datetime] = {}
        self._unrecorded: dict[Parcel, Delivery] = {}
        self._deletion_settled = datetime.min.replace(tzinfo=UTC)

    def is_idle(self, since: datetime) -> bool:
        """Whether there is nothing to send, no job that may report something later, and no deleted job was settled
        after a time."""
        return not self._jobs and not self._deleted and self._deletion_settled <= since

    @property
    def pending(self) -> int:
        """The number of outstanding events."""
        return len(self._due)

    def collect(self, now: datetime) -> None:
        """Take the changes of the store over."""
        changed, all_removed = self.changes.take()
        for stored in changed:
            with _errors_logged(stored):
                self._observe(stored, now)
        if all_removed:
            for job in [each for each in self._jobs.values() if not self._is_stored(each)]:
                with _errors_logged(job):
                    self.delete(job, now)

    def due(self, now: datetime) -> list[Parcel]:
        return [parcel for parcel, at in self._due.items() if at <= now]

    def job(self, uid: str) -> Job | None:
        deleted = self._deleted.get(uid)
        return self._jobs.get(uid) if deleted is None else deleted.job

    def is_deleted(self, uid: str) -> bool:
        return uid in self._deleted

    def update(self, job: Job, now: datetime) -> Job:
        """Replace what is known of an existing job."""
        job = self._with_unrecorded(job)
        self._deleted.pop(job.uid, None)
        if may_report(job):
            self._jobs[job.uid] = job
        else:
            self._jobs.pop(job.uid, None)
        self._schedule(job, now)
        return job

    def delete(self, job: Job, now: datetime) -> Job:
        """Keep a job that no longer exists, as long as it has outstanding events."""
        self._jobs.pop(job.uid, None)
        gone = replace(self._with_unrecorded(job), deleting=True)
        if outstanding(gone):
            before = self._deleted.get(job.uid)
            self._deleted[job.uid] = DeletedJob(gone, now if before is None else before.since)
        else:
            self._deleted.pop(job.uid, None)
            self._deletion_settled = now
        self._schedule(gone, now)
        while len(self._deleted) > MAX_DELETED_JOBS:
            self._drop(next(iter(self._deleted)))
        return gone

    def record(self, job: Job, event: WebhookEvent, delivery: Delivery, now: datetime) -> None:
        """Remember a delivery, before the API server has it."""
        self._unrecorded[job.uid, event] = delivery
        while len(self._unrecorded) > MAX_UNRECORDED:
            del self._unrecorded[next(iter(self._unrecorded))]
        (self.delete if self.is_deleted(job.uid) else self.update)(job, now)

    def postpone(self, parcel: Parcel, until: datetime) -> None:
        if parcel in self._due:
            self._due[parcel] = until

    def forget_deleted(self, before: datetime) -> None:
        """Drop the jobs whose deletion was noticed before a time: another gateway has sent their events."""
        for uid in [uid for uid, each in self._deleted.items() if each.since < before]:
            self._drop(uid, quietly=True)

    def deleted(self) -> Iterator[Job]:
        return (each.job for each in self._deleted.values())

    def _observe(self, stored: StoredJob, now: datetime) -> None:
        current = self._store.get(stored.kind, stored.name)
        with suppress(UnreadableJobError):
            if current is not None and current.uid == stored.uid:
                self.update(self._store.read(current), now)
            elif not self.is_deleted(stored.uid):
                self.delete(self._store.read(stored), now)

    def _is_stored(self, job: Job) -> bool:
        stored = self._store.get(job.kind, job.name)
        return stored is not None and stored.uid == job.uid

    def _with_unrecorded(self, job: Job) -> Job:
        """The job with the deliveries that are newer than its own record."""
        record = dict(read_record(job))
        for event in WebhookEvent:
            own, known = self._unrecorded.get((job.uid, event)), record.get(event)
            if own is None:
                continue
            if known is not None and known.attempts >= own.attempts:
                del self._unrecorded[job.uid, event]
            else:
                record[event] = own
        return replace(job, webhook_record=write_record(record)) if record else job

    def _schedule(self, job: Job, now: datetime) -> None:
        for event in WebhookEvent:
            self._due.pop((job.uid, event), None)
        self._due |= {(job.uid, event): at for event, at in due_times(job, now).items()}

    def _drop(self, uid: str, *, quietly: bool = False) -> None:
        job = self._deleted.pop(uid).job
        for event in WebhookEvent:
            if self._due.pop((uid, event), None) is not None and not quietly:
                log.warning("%s is deleted, and its webhook did not get %s", job.key, event)


@contextmanager
def _errors_logged(job: Job | StoredJob) -> Iterator[None]:
    """An unexpected error of one job must not stop the webhooks of the others."""
    try:
        yield
    except Exception:
        log.exception("the webhook of %s/%s waits until the job changes", job.kind, job.name)
