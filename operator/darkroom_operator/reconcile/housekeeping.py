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
    FailBroken,
    ObserveGeneration,
    Requeue,
    TellPlace,
    WriteStatus,
)
from darkroom_operator.reconcile.stops import active_deadline, start_deadline
from darkroom_operator.scheduling.admission import admissible_from, candidate, claims, may_run
from darkroom_operator.scheduling.queue import is_finished
from darkroom_operator.scheduling.queue_position import Place, is_told, misinformed, places
from darkroom_operator.scheduling.snapshot import World
from darkroom_operator.status import transitions as statuses
from darkroom_operator.status.transitions import is_news

STRAY_AFTER = timedelta(seconds=15)
"""A gated pod that belongs to no holder is left alone so long: its Lease may not have been seen yet."""
FINISHED_SHARE = 4
"""One in four of the updates goes to finished jobs, however many others want one."""


def chores(world: World, most_told: int) -> Iterator[Action]:
    """All that is to be done now, the most telling first. At most `most_told` statuses of jobs that only wait, or have
    finished, are updated."""
    yield from (FailBroken(job) for job in world.broken.values() if not job.failed)
    yield from _refused(world)
    line = places(world)
    told = [place for place in line if is_told(place.job)]
    if len(told) < len(line):
        yield from _newcomers(line, world)
    yield from _aside(line, world)
    unobserved = list(islice(_unobserved(world), most_told))
    reserved = min(len(unobserved), most_told // FINISHED_SHARE)
    misplaced = misinformed(told, world.now, most_told - reserved)
    yield from (_tell(place, world) for place in misplaced)
    yield from unobserved[: most_told - len(misplaced)]
    yield from (DeletePod(pod, "it belongs to no run") for pod in world.pods.values() if _is_stray(pod, world))
    yield from (DeleteJob(job) for job in world.jobs.values() if _is_expired(job, world.now))


def _refused(world: World) -> Iterator[WriteStatus]:
    """Jobs that no run can finish fail as they are. One that holds a slot, as under settings of yesterday, loses it
    first: its run, if it has one, is judged by its own end."""
    for uid, failure in list(world.refused.items()):
        if (job := world.jobs.get(uid)) is not None and may_run(job) and _is_aside(job, world):
            yield WriteStatus(job, statuses.failed(job, failure, world.now))


def _unobserved(world: World) -> Iterator[ObserveGeneration]:
    """Finished jobs whose spec was changed since: `kubectl wait` looks at the generation that conditions observed."""
    for job in world.jobs.values():
        if is_finished(job) and job.status.observed_generation != job.generation:
            yield ObserveGeneration(job, statuses.observed(job))


def _newcomers(line: Iterable[Place], world: World) -> Iterator[WriteStatus]:
    """Those of the queue that do not know yet that they are in it."""
    for place in line:
        if not is_told(place.job):
            yield WriteStatus(place.job, statuses.waiting(place.job, place, world.now))


def _tell(place: Place, world: World) -> TellPlace:
    return TellPlace(place.job, statuses.waiting(place.job, place, world.now))


def _aside(line: Iterable[Place], world: World) -> Iterator[WriteStatus | Requeue]:
    """The jobs that hold no slot, have not ended, and do not stand in the queue: each told why."""
    standing = {place.job.uid for place in line}
    for job in (job for job in world.line if job.uid not in standing and _is_aside(job, world)):
        if job.uid in world.refused and may_run(job):
            continue  # It is about to fail, or has a run that will.
        status = statuses.waiting(job, None, world.now)
        if is_news(job, status):
            yield WriteStatus(job, status) if job.status.slot is None else Requeue(job, status)


def _is_aside(job: Job, world: World) -> bool:
    """Suspended, backing off, or without the slot that its status names: a gateway that is to remove a deleted job's
    files waits until no slot is named."""
    if job.uid in world.holders or (job.deleting and job.status.slot is None):
        return False
    return not (job.status.slot in world.slots and any(claims(job, pod) for pod in world.pods_of(job.uid)))


def _is_stray(pod: RunnerPod, world: World) -> bool:
    """Made, never let go, and of no use: its job lost the slot in between, or makes another attempt."""
    if not pod.gated or pod.deleting or pod.over or pod.created + STRAY_AFTER > world.now:
        return False
    slot, job = world.slots.get(pod.slot), world.jobs.get(pod.job_uid)
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


def next_deadline(world: World) -> datetime | None:
    """When a run is next to be stopped: no event will tell of it."""
    return _next(_deadlines(world), world.now)


def next_due(world: World) -> datetime | None:
    """When a retry or a removal is next due, of which no event will tell either. Looks at every job."""
    return _next(_dues(world), world.now)


def _next(moments: Iterable[datetime], now: datetime) -> datetime | None:
    return min((moment for moment in moments if moment > now), default=None)


def _deadlines(world: World) -> Iterator[datetime]:
    if any(slot.holder is None for slot in world.slots.values()) and (job := candidate(world)) is not None:
        yield admissible_from(job)
    for slot in world.slots.values():
        holder, pod = world.jobs.get(slot.holder or ""), world.pods.get(slot.pod_uid or "")
        if holder is not None and pod is not None and not pod.over:
            yield start_deadline(holder, pod)
            if (deadline := active_deadline(holder, pod)) is not None:
                yield deadline


def _dues(world: World) -> Iterator[datetime]:
    for job in world.jobs.values():
        if job.status.next_attempt_time is not None:
            yield job.status.next_attempt_time
        if (expiry := _expiry(job)) is not None:
            yield expiry
    yield from (pod.created + STRAY_AFTER for pod in world.pods.values() if pod.gated)
