"""Work beside the slots: statuses of waiting jobs, removal of pods and jobs, and when to look again. Pure.

None of it is urgent, and none of it decides which job runs.
"""

from collections.abc import Container, Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from darkroom_contract.jobs import Job
from darkroom_contract.status import JobStatus
from darkroom_contract.webhooks import MAX_POSTPONEMENT, outstanding
from darkroom_operator.pods.runner_pod import RunnerPod
from darkroom_operator.reconcile.actions import (
    Action,
    DeleteJob,
    DeletePod,
    FailUnreadableJob,
    ObserveGeneration,
    Requeue,
    UpdateQueuePosition,
    WriteStatus,
)
from darkroom_operator.reconcile.stops import active_deadline, start_deadline
from darkroom_operator.scheduling.admission import admissible_from, next_candidate, owns_slot, queued_with_trainings
from darkroom_operator.scheduling.job_state import is_finished, may_run
from darkroom_operator.scheduling.queue_position import QueuePosition, queue_positions
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.stale_positions import has_position, stale_positions
from darkroom_operator.status.transitions import is_changed

STRAY_AFTER = timedelta(seconds=15)
"""The age at which a gated pod without a holder is deleted. Before, its Lease may not have been seen yet."""
FINISHED_SHARE = 4
"""Up to one in four low-priority updates is for finished jobs, however many waiting ones are stale."""


def housekeeping(snapshot: Snapshot, max_updates: int) -> Iterator[Action]:
    """All due work, the most important first, with at most `max_updates` low-priority status updates."""
    # 1. Jobs that can't run fail.
    yield from (FailUnreadableJob(job) for job in snapshot.unreadable.values() if not job.failed)
    yield from _rejected(snapshot)
    # 2. Jobs that enter or leave the queue get their status.
    queued = queued_with_trainings(snapshot)
    has_new = not all(has_position(job) for job, _ in queued)
    # Estimates for a long queue take a while: only for those who read them.
    positions = queue_positions(queued, snapshot) if has_new or max_updates > 0 else []
    if has_new:
        yield from _newly_queued(positions, snapshot)
    yield from _not_queued({job.uid for job, _ in queued}, snapshot)
    # 3. Stale positions and generations are updated, as far as the rate limit allows.
    unobserved = list(islice(_unobserved(snapshot), max_updates))
    reserved = min(len(unobserved), max_updates // FINISHED_SHARE)
    known = [position for position in positions if has_position(position.job)] if has_new else positions
    stale = stale_positions(known, snapshot.now, max_updates - reserved)
    yield from (UpdateQueuePosition(each.job, _waiting_status(each, snapshot)) for each in stale)
    yield from unobserved[: max_updates - len(stale)]
    # 4. Stray pods and expired jobs are deleted.
    yield from (DeletePod(pod, "it belongs to no run") for pod in snapshot.pods.values() if _is_stray(pod, snapshot))
    yield from (DeleteJob(job) for job in snapshot.jobs.values() if _is_expired(job, snapshot.now))


def _rejected(snapshot: Snapshot) -> Iterator[WriteStatus]:
    """Jobs that no run can finish fail. One that holds a slot (settings have changed) loses it first, and if it has a
    run, that run's end decides."""
    for uid, failure in list(snapshot.rejected.items()):
        if (job := snapshot.jobs.get(uid)) is not None and may_run(job) and _has_no_run(job, snapshot):
            yield WriteStatus(job, transitions.failed(job, failure, snapshot.now))


def _newly_queued(positions: Iterable[QueuePosition], snapshot: Snapshot) -> Iterator[WriteStatus]:
    """Queued jobs whose status does not show a position yet."""
    for position in positions:
        if not has_position(position.job):
            yield WriteStatus(position.job, _waiting_status(position, snapshot))


def _waiting_status(position: QueuePosition, snapshot: Snapshot) -> JobStatus:
    return transitions.waiting(position.job, position, snapshot.now)


def _not_queued(queued: Container[str], snapshot: Snapshot) -> Iterator[WriteStatus | Requeue]:
    """Unfinished jobs that neither hold a slot nor are queued, by uid: their statuses say why."""
    for job in (job for job in snapshot.pending if job.uid not in queued and _has_no_run(job, snapshot)):
        if job.uid in snapshot.rejected and may_run(job):
            continue  # It fails now, or has a run that fails.
        status = transitions.waiting(job, None, snapshot.now)
        if is_changed(job, status):
            yield WriteStatus(job, status) if job.status.slot is None else Requeue(job, status)


def _has_no_run(job: Job, snapshot: Snapshot) -> bool:
    """Whether the job has no run: it is suspended, backing off, or lost the slot that its status names. A job that is
    being deleted counts while its status names a slot: the gateway removes its files only after that is cleared."""
    if job.uid in snapshot.holders or (job.deleting and job.status.slot is None):
        return False
    return not (job.status.slot in snapshot.slots and any(owns_slot(job, pod) for pod in snapshot.pods_of(job.uid)))


def _unobserved(snapshot: Snapshot) -> Iterator[ObserveGeneration]:
    """Finished jobs whose spec has changed: `kubectl wait` compares the generation with that of the conditions."""
    for job in snapshot.jobs.values():
        if is_finished(job) and job.status.observed_generation != job.generation:
            yield ObserveGeneration(job, transitions.generation_observed(job, snapshot.now))


def _is_stray(pod: RunnerPod, snapshot: Snapshot) -> bool:
    """A gated pod without use: its job has lost the slot, or is at a later attempt."""
    if not pod.gated or pod.deleting or pod.terminated or pod.created + STRAY_AFTER > snapshot.now:
        return False
    slot, job = snapshot.slots.get(pod.slot), snapshot.jobs.get(pod.job_uid)
    if slot is None or job is None or slot.holder != pod.job_uid:
        return True
    return pod.attempt <= job.status.attempts and pod.uid != job.status.pod_uid


def _is_expired(job: Job, now: datetime) -> bool:
    expiry = _expiry(job)
    return expiry is not None and expiry <= now and not job.deleting


def _expiry(job: Job) -> datetime | None:
    """When a finished job is deleted. An undelivered webhook postpones that, with a limit: its receiver, or the gateway
    that sends it, may be gone for good."""
    ended = job.status.completion_time
    if ended is None or not is_finished(job) or (seconds := job.spec.ttl_seconds_after_finished) is None:
        return None
    expiry = ended + timedelta(seconds=seconds)
    return max(expiry, ended + MAX_POSTPONEMENT) if outstanding(job) else expiry


def next_deadline(snapshot: Snapshot) -> datetime | None:
    """When the next slot needs attention without any event: an admission or a deadline of a run."""
    return _next(_deadlines(snapshot), snapshot.now)


def next_due(snapshot: Snapshot) -> datetime | None:
    """When the next retry or deletion is due, for which there is no event either. Looks at every job."""
    return _next(_dues(snapshot), snapshot.now)


def _next(moments: Iterable[datetime], now: datetime) -> datetime | None:
    return min((moment for moment in moments if moment > now), default=None)


def _deadlines(snapshot: Snapshot) -> Iterator[datetime]:
    has_free_slot = any(slot.holder is None for slot in snapshot.slots.values())
    if has_free_slot and (job := next_candidate(snapshot)) is not None:
        yield admissible_from(job)
    for slot in snapshot.slots.values():
        holder, pod = snapshot.jobs.get(slot.holder or ""), snapshot.pods.get(slot.pod_uid or "")
        if holder is not None and pod is not None and not pod.terminated:
            yield start_deadline(holder, pod)
            if (deadline := active_deadline(holder, pod)) is not None:
                yield deadline


def _dues(snapshot: Snapshot) -> Iterator[datetime]:
    for job in snapshot.jobs.values():
        if job.status.next_attempt_time is not None:
            yield job.status.next_attempt_time
        if (expiry := _expiry(job)) is not None:
            yield expiry
    yield from (pod.created + STRAY_AFTER for pod in snapshot.pods.values() if pod.gated)
