"""When waiting jobs should get their turn, as far as past runs tell. Pure; used by `places.py`.

A slot is free when its holder has ended: by the run's own word once it is under way, before that by what such a job
took in the past. Then each waiting job takes the slot that is free first, for as long as such a job took. Where
something is not known, neither is what comes after it: no estimate is better than an invented one. Failures are not
foreseen, nor jobs that come back into the queue after one.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.status import ProgressStatus
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.queue import is_finished
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot

TRUSTED_PERCENTAGE = 10.0
"""Before so much of its work is done, a run knows less of its pace than past runs do."""
FURTHEST = timedelta(days=365)
"""A later start is as good as none."""


def start_times(line: Sequence[Job], snapshot: Snapshot) -> Iterator[datetime | None]:
    """When each job of the queue should be admitted, in the queue's order; None when that can't be told."""
    slots = [slot for slot in snapshot.slots.values() if slot.number < snapshot.slot_count]
    free_in = [remaining_seconds(slot, snapshot) for slot in slots]
    heapq.heapify(free_in)
    now = snapshot.now.replace(microsecond=0)
    for job in line:
        begin = free_in[0]
        yield _moment(begin, now)
        seconds = snapshot.durations.seconds(job)
        heapq.heapreplace(free_in, math.inf if seconds is None else begin + seconds)


def _moment(seconds: float, now: datetime) -> datetime | None:
    if seconds > FURTHEST.total_seconds():
        return None
    return now + timedelta(seconds=round(seconds))


def remaining_seconds(slot: Slot, snapshot: Snapshot) -> float:
    """Until the slot is free; infinite when nothing tells. A holder that takes longer than expected may end now."""
    if slot.holder is None:
        return 0.0
    job = snapshot.jobs.get(slot.holder)
    if job is None:
        return math.inf
    if is_finished(job):
        return 0.0
    told = _told_end(job.status.progress)
    if told is None or not _is_under_way(job.status.progress):
        told = _learned_end(slot, job, snapshot) or told
    return math.inf if told is None else max(0.0, (told - snapshot.now).total_seconds())


def _told_end(progress: ProgressStatus | None) -> datetime | None:
    """When the run ends by its own word."""
    if progress is None or progress.estimated_remaining_seconds is None:
        return None
    seconds = min(progress.estimated_remaining_seconds, FURTHEST.total_seconds())
    return aware(progress.last_updated_time) + timedelta(seconds=seconds)


def _is_under_way(progress: ProgressStatus | None) -> bool:
    return progress is not None and progress.progress_percentage >= TRUSTED_PERCENTAGE


def _learned_end(slot: Slot, job: Job, snapshot: Snapshot) -> datetime | None:
    seconds = snapshot.durations.seconds(job)
    if seconds is None or slot.acquired is None:
        return None
    return slot.acquired + timedelta(seconds=min(seconds, FURTHEST.total_seconds()))
