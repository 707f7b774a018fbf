"""What can be seen at a look: jobs, queue and slots as they are when somebody asks. Pure, but for the collector at the
end, which `main.py` registers.

An operator that follows tells that it does, and nothing else: so what is told is told once, however many there are.
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
from darkroom_operator.scheduling.admission import is_queued, may_run
from darkroom_operator.scheduling.queue import is_finished
from darkroom_operator.scheduling.slot import Slot
from darkroom_operator.scheduling.snapshot import Snapshot
from darkroom_operator.status.conditions import find

Families = Iterator[GaugeMetricFamily]
NOTHING = timedelta(0)


def families(snapshot: Snapshot, is_leader: bool) -> Families:
    yield GaugeMetricFamily(
        "darkroom_leader", "1 for the operator that acts, 0 for those that follow.", value=is_leader
    )
    if is_leader:
        yield _jobs(snapshot)
        yield from _queue(snapshot)
        yield _slots(snapshot)
        yield from _progress(snapshot)


def _jobs(snapshot: Snapshot) -> GaugeMetricFamily:
    """Zeros too: an alert on what is not there never fires."""
    counts = Counter((job.kind, job.status.phase or Phase.QUEUED) for job in snapshot.jobs.values())
    counts.update((job.kind, Phase.FAILED) for job in snapshot.broken.values())
    family = GaugeMetricFamily("darkroom_jobs", "Jobs that there are.", labels=["kind", "phase"])
    for kind in Kind:
        for phase in Phase:
            family.add_metric([kind.value, phase.value], counts[kind, phase])
    return family


def _queue(snapshot: Snapshot) -> Families:
    waiting = [job for job in snapshot.jobs.values() if is_waiting(job, snapshot)]
    oldest = snapshot.now - _first_moment(waiting, snapshot.now)
    yield GaugeMetricFamily("darkroom_queue_length", "Jobs that wait for their run.", value=len(waiting))
    yield GaugeMetricFamily(
        "darkroom_queue_oldest_wait_seconds",
        "How long the one that has waited longest has been in the queue; 0 when none waits.",
        value=oldest.total_seconds(),
    )


def _first_moment(waiting: list[Job], now: datetime) -> datetime:
    """Since when one of them has been waiting. No job waits before it is created: most need no closer look."""
    first = now
    for job in waiting:
        if job.created < first:
            first = min(first, waiting_since(job))
    return first


def is_waiting(job: Job, snapshot: Snapshot) -> bool:
    """Whether it would run if it could: it stands in the queue, or holds a slot and has no pod yet, as when a quota has
    no room. One that backs off is not in the queue."""
    if is_finished(job):
        return False
    if job.uid in snapshot.holders:
        return may_run(job) and job.status.slot is None
    return is_queued(job, snapshot)


def waiting_since(job: Job) -> datetime:
    """When it came into the queue, for the last time."""
    admitted, suspended = find(job.status, ConditionType.ADMITTED), find(job.status, ConditionType.SUSPENDED)
    moments = [job.created, job.status.next_attempt_time]
    if admitted is not None and job.status.attempts:
        moments.append(admitted.last_transition_time)  # It was admitted before.
    if suspended is not None and suspended.status is ConditionStatus.FALSE:
        moments.append(suspended.last_transition_time)
    return max(aware(each) for each in moments if each is not None)


def _slots(snapshot: Snapshot) -> GaugeMetricFamily:
    family = GaugeMetricFamily("darkroom_slot_busy", "1 while a run has the slot.", labels=["slot"])
    for slot in snapshot.slots.values():
        family.add_metric([str(slot.number)], 1.0 if slot.holder and slot.pod_uid else 0.0)
    return family


def _progress(snapshot: Snapshot) -> Families:
    """Of the run that has been silent for longest; absent while none has told anything."""
    told = [moment for slot in snapshot.slots.values() if (moment := _last_word(slot, snapshot)) is not None]
    if told:
        age = max(snapshot.now - min(told), NOTHING)
        yield GaugeMetricFamily(
            "darkroom_progress_age_seconds",
            "Since the running job's progress last moved, by its own word.",
            value=age.total_seconds(),
        )


def _last_word(slot: Slot, snapshot: Snapshot) -> datetime | None:
    job = snapshot.jobs.get(slot.holder or "")
    if job is None or job.status.phase is not Phase.RUNNING:
        return None
    event = snapshot.progress.get(job.uid)
    if event is not None and event.attempt == job.status.attempts:
        return aware(event.time)
    return aware(job.status.progress.last_updated_time) if job.status.progress else None


class Gauges(Collector):
    """Asked by the registry whenever it is scraped."""

    def __init__(self, snapshot: Callable[[], Snapshot], is_leader: Callable[[], bool]) -> None:
        self._snapshot = snapshot
        self._is_leader = is_leader

    def collect(self) -> Families:
        return families(self._snapshot(), self._is_leader())

    def describe(self) -> Families:
        """Known beforehand, so that nothing is looked at when it is registered."""
        return iter(())
