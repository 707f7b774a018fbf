"""What is to be done beside the slots: statuses of waiting jobs, pods and jobs to remove, and when to look again. Pure.

None of it is urgent, and none of it decides who runs.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from darkroom_contract.jobs import Job
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
from darkroom_operator.scheduling.admission import admissible_from, candidate, claims, may_run
from darkroom_operator.scheduling.queue import is_finished
from darkroom_operator.scheduling.queue_position import QueuePosition, has_position, queue_positions, stale_positions
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status import transitions
from darkroom_operator.status.transitions import is_changed

STRAY_AFTER = timedelta(seconds=15)
"""A gated pod that belongs to no holder is left alone so long: its Lease may not have been seen yet."""
FINISHED_SHARE = 4
"""One in four of the updates goes to finished jobs, however many others want one."""


def housekeeping(snapshot: Snapshot, max_updates: int) -> Iterator[Action]:
    """All that is to be done now, most urgent first. At most `max_updates` statuses of jobs that only wait or have
    finished, are updated."""
    yield from (FailUnreadableJob(job) for job in snapshot.broken.values() if not job.failed)
    yield from _refused(snapshot)
    line = queue_positions(snapshot)
    told = [place for place in line if has_position(place.job)]
    if len(told) < len(line):
        yield from _newcomers(line, snapshot)
    yield from _aside(line, snapshot)
    unobserved = list(islice(_unobserved(snapshot), max_updates))
    reserved = min(len(unobserved), max_updates // FINISHED_SHARE)
    misplaced = stale_positions(told, snapshot.now, max_updates - reserved)
    yield from (_tell(place, snapshot) for place in misplaced)
    yield from unobserved[: max_updates - len(misplaced)]
    yield from (DeletePod(pod, "it belongs to no run") for pod in snapshot.pods.values() if _is_stray(pod, snapshot))
    yield from (DeleteJob(job) for job in snapshot.jobs.values() if _is_expired(job, snapshot.now))


def _refused(snapshot: Snapshot) -> Iterator[WriteStatus]:
    """Jobs that no run can finish fail as they are. One that holds a slot, as under settings of yesterday, loses it
    first: its run, if it has one, is judged by its own end."""
    for uid, failure in list(snapshot.refused.items()):
        if (job := snapshot.jobs.get(uid)) is not None and may_run(job) and _is_aside(job, snapshot):
            yield WriteStatus(job, transitions.failed(job, failure, snapshot.now))


def _unobserved(snapshot: Snapshot) -> Iterator[ObserveGeneration]:
    """Finished jobs whose spec was changed since: `kubectl wait` looks at the generation that conditions observed."""
    for job in snapshot.jobs.values():
        if is_finished(job) and job.status.observed_generation != job.generation:
            yield ObserveGeneration(job, transitions.generation_observed(job))


def _newcomers(line: Iterable[QueuePosition], snapshot: Snapshot) -> Iterator[WriteStatus]:
    """Those of the queue that do not know yet that they are in it."""
    for place in line:
        if not has_position(place.job):
            yield WriteStatus(place.job, transitions.waiting(place.job, place, snapshot.now))


def _tell(place: QueuePosition, snapshot: Snapshot) -> UpdateQueuePosition:
    return UpdateQueuePosition(place.job, transitions.waiting(place.job, place, snapshot.now))


def _aside(line: Iterable[QueuePosition], snapshot: Snapshot) -> Iterator[WriteStatus | Requeue]:
    """The jobs that hold no slot, have not ended, and do not stand in the queue: each told why."""
    standing = {place.job.uid for place in line}
    for job in (job for job in snapshot.line if job.uid not in standing and _is_aside(job, snapshot)):
        if job.uid in snapshot.refused and may_run(job):
            continue  # It is about to fail, or has a run that will.
        status = transitions.waiting(job, None, snapshot.now)
        if is_changed(job, status):
            yield WriteStatus(job, status) if job.status.slot is None else Requeue(job, status)


def _is_aside(job: Job, snapshot: Snapshot) -> bool:
    """Suspended, backing off, or without the slot that its status names: a gateway that is to remove a deleted job's
    files waits until no slot is named."""
    if job.uid in snapshot.holders or (job.deleting and job.status.slot is None):
        return False
    return not (job.status.slot in snapshot.slots and any(claims(job, pod) for pod in snapshot.pods_of(job.uid)))


def _is_stray(pod: RunnerPod, snapshot: Snapshot) -> bool:
    """Made, never let go, and of no use: its job lost the slot in between, or makes another attempt."""
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
    seconds, ended = job.spec.ttl_seconds_after_finished, job.status.completion_time
    if seconds is None or ended is None or not is_finished(job):
        return None
    return ended + timedelta(seconds=seconds)


def next_deadline(snapshot: Snapshot) -> datetime | None:
    """When a run is next to be stopped: no event will tell of it."""
    return _next(_deadlines(snapshot), snapshot.now)


def next_due(snapshot: Snapshot) -> datetime | None:
    """When a retry or a removal is next due, of which no event will tell either. Looks at every job."""
    return _next(_dues(snapshot), snapshot.now)


def _next(moments: Iterable[datetime], now: datetime) -> datetime | None:
    return min((moment for moment in moments if moment > now), default=None)


def _deadlines(snapshot: Snapshot) -> Iterator[datetime]:
    if any(slot.holder is None for slot in snapshot.slots.values()) and (job := candidate(snapshot)) is not None:
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
