"""Estimated start times of waiting jobs. Pure; used by `queue_position.py`.

A slot is free when its holder ends: according to the run's own progress once it is well under way, before that
according to past runs. Then each waiting job takes the slot that is free first, for as long as comparable jobs took,
in a warm pod after another job or in a new one. If a duration is unknown, there are no estimates for the jobs that
depend on it. Failures and retries are not foreseen.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from darkroom_contract.jobs import Job
from darkroom_contract.status import ProgressStatus, RunStart
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.job_state import is_finished
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot

TRUSTED_PERCENTAGE = 10.0
"""Up to this progress, past runs predict the end better than the run itself."""
FURTHEST = timedelta(days=365)
"""Later starts are not reported."""


def start_times(jobs: Sequence[Job], snapshot: Snapshot) -> Iterator[datetime | None]:
    """The estimated admission of each queued job, in the order of the queue; None if unknown."""
    slots = [slot for slot in snapshot.slots.values() if slot.number < snapshot.slot_count]
    free_in = [(remaining_seconds(slot, snapshot), _next_start(slot, snapshot)) for slot in slots]
    heapq.heapify(free_in)
    now = snapshot.now.replace(microsecond=0)
    following = RunStart.COLD if snapshot.template is None else RunStart.WARM
    for job in jobs:
        begin, start = free_in[0]
        yield _moment(begin, now)
        seconds = snapshot.durations.estimate_seconds(job, start)
        heapq.heapreplace(free_in, (math.inf if seconds is None else begin + seconds, following))


def _next_start(slot: Slot, snapshot: Snapshot) -> RunStart:
    """How the next run of the slot starts, if the run in it ends well."""
    is_empty = slot.holder is None and slot.idle_pod_uid is None
    return RunStart.COLD if is_empty or snapshot.template is None else RunStart.WARM


def _moment(seconds: float, now: datetime) -> datetime | None:
    if seconds > FURTHEST.total_seconds():
        return None
    return now + timedelta(seconds=round(seconds))


def remaining_seconds(slot: Slot, snapshot: Snapshot) -> float:
    """Until the slot is free; infinite if unknown. A holder that is overdue may end now."""
    if slot.holder is None:
        return 0.0
    job = snapshot.jobs.get(slot.holder)
    if job is None:
        return math.inf
    if is_finished(job):
        return 0.0
    end = _reported_end(job.status.progress)
    if end is None or not _is_under_way(job.status.progress):
        end = _end_by_history(slot, job, snapshot) or end
    return math.inf if end is None else max(0.0, (end - snapshot.now).total_seconds())


def _reported_end(progress: ProgressStatus | None) -> datetime | None:
    """The end that the run itself estimates."""
    if progress is None or progress.estimated_remaining_seconds is None:
        return None
    seconds = min(progress.estimated_remaining_seconds, FURTHEST.total_seconds())
    return aware(progress.last_updated_time) + timedelta(seconds=seconds)


def _is_under_way(progress: ProgressStatus | None) -> bool:
    return progress is not None and progress.progress_percentage >= TRUSTED_PERCENTAGE


def _end_by_history(slot: Slot, job: Job, snapshot: Snapshot) -> datetime | None:
    seconds = snapshot.durations.estimate_seconds(job, job.status.run_start or RunStart.COLD)
    if seconds is None or slot.acquired is None:
        return None
    return slot.acquired + timedelta(seconds=min(seconds, FURTHEST.total_seconds()))
