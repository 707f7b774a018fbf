"""Gauges of jobs, queue and slots, computed when Prometheus scrapes. Pure, except for the collector at the end.

An operator that is not the leader exports only `darkroom_leader 0`, so sums over all operators are correct.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import ConditionStatus, ConditionType, Phase
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.admission import is_queued
from darkroom_operator.scheduling.job_state import is_finished, may_run
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status.conditions import find

Families = Iterator[GaugeMetricFamily]
NOTHING = timedelta(0)


def families(snapshot: Snapshot, is_leader: bool) -> Families:
    yield GaugeMetricFamily("darkroom_leader", "1 for the leader, 0 for other operators.", value=is_leader)
    if is_leader:
        yield _jobs(snapshot)
        yield from _queue(snapshot)
        yield from _slots(snapshot)
        yield from _progress(snapshot)


def _jobs(snapshot: Snapshot) -> GaugeMetricFamily:
    """With zeros: an alert on a missing series never fires."""
    counts = Counter((job.kind, job.status.phase or Phase.QUEUED) for job in snapshot.jobs.values())
    counts.update((job.kind, Phase.FAILED) for job in snapshot.unreadable.values())
    family = GaugeMetricFamily("darkroom_jobs", "Existing jobs.", labels=["kind", "phase"])
    for kind in Kind:
        for phase in Phase:
            family.add_metric([kind.value, phase.value], counts[kind, phase])
    return family


def _queue(snapshot: Snapshot) -> Families:
    waiting = [job for job in snapshot.jobs.values() if is_waiting(job, snapshot)]
    oldest = snapshot.now - _first_moment(waiting, snapshot.now)
    yield GaugeMetricFamily("darkroom_queue_length", "Jobs that wait for their run to start.", value=len(waiting))
    yield GaugeMetricFamily(
        "darkroom_queue_oldest_wait_seconds",
        "Longest time that a waiting job has been in the queue; 0 if no job waits.",
        value=oldest.total_seconds(),
    )


def _first_moment(waiting: list[Job], now: datetime) -> datetime:
    """The earliest start of a wait. A job can't wait before its creation, so most need no closer look."""
    first = now
    for job in waiting:
        if job.created < first:
            first = min(first, waiting_since(job))
    return first


def is_waiting(job: Job, snapshot: Snapshot) -> bool:
    """Whether the job is queued, or holds a slot but has no pod yet, for example because of a quota. A job that backs
    off is not queued."""
    if is_finished(job):
        return False
    if job.uid in snapshot.holders:
        return may_run(job) and job.status.slot is None
    return is_queued(job, snapshot)


def waiting_since(job: Job) -> datetime:
    """When the job last entered the queue."""
    admitted, suspended = find(job.status, ConditionType.ADMITTED), find(job.status, ConditionType.SUSPENDED)
    moments = [job.created, job.status.next_attempt_time]
    if admitted is not None and job.status.attempts:
        moments.append(admitted.last_transition_time)  # It has been admitted before.
    if suspended is not None and suspended.status is ConditionStatus.FALSE:
        moments.append(suspended.last_transition_time)
    return max(aware(each) for each in moments if each is not None)


def _slots(snapshot: Snapshot) -> Families:
    busy = GaugeMetricFamily("darkroom_slot_busy", "1 while a run occupies the slot.", labels=["slot"])
    idle = GaugeMetricFamily(
        "darkroom_slot_idle_runner", "1 while an idle pod waits for the next run.", labels=["slot"]
    )
    for slot in snapshot.slots.values():
        busy.add_metric([str(slot.number)], 1.0 if slot.holder and slot.pod_uid else 0.0)
        idle.add_metric([str(slot.number)], 1.0 if slot.idle_pod_uid and not slot.pod_uid else 0.0)
    yield busy
    yield idle


def _progress(snapshot: Snapshot) -> Families:
    """Of the run with the oldest progress; absent if no run has reported any."""
    reported = [moment for slot in snapshot.slots.values() if (moment := _last_progress(slot, snapshot)) is not None]
    if reported:
        age = max(snapshot.now - min(reported), NOTHING)
        yield GaugeMetricFamily(
            "darkroom_progress_age_seconds",
            "Time since the last progress that the running job reported.",
            value=age.total_seconds(),
        )


def _last_progress(slot: Slot, snapshot: Snapshot) -> datetime | None:
    job = snapshot.jobs.get(slot.holder or "")
    if job is None or job.status.phase is not Phase.RUNNING:
        return None
    event = snapshot.progress.get(job.uid)
    if event is not None and event.attempt == job.status.attempts:
        return aware(event.time)
    return aware(job.status.progress.last_updated_time) if job.status.progress else None


class Gauges(Collector):
    """Collects the gauges at each scrape."""

    def __init__(self, snapshot: Callable[[], Snapshot], is_leader: Callable[[], bool]) -> None:
        self._snapshot = snapshot
        self._is_leader = is_leader

    def collect(self) -> Families:
        return families(self._snapshot(), self._is_leader())

    def describe(self) -> Families:
        """Empty, so that registering the collector does not collect."""
        return iter(())
