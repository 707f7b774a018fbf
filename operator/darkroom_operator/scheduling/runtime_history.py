"""What finished jobs took, and what another one like them should take. Filled by `cache.py` with every job that it
sees, read by `estimates.py`; does no input or output.

A speed is the median of the newest runs of the same shape and size, so that one run that was held up by a slow
download says little. It outlives the jobs that it was learned from, but not the operator: a new one learns from the
jobs that are there.
"""

from collections.abc import Hashable
from datetime import datetime
from statistics import median

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.workload import workload

REMEMBERED_RUNS = 9
"""Of each shape and size; older ones were on another card, or with another release."""
REMEMBERED_CLASSES = 1000
"""Shapes and sizes; who asks for another size each time must not fill the memory."""
SIMILAR_CLASSES = 3
"""A job of a size that never ran is judged by sizes up to eight times smaller or larger. Beyond, nothing is known."""

SizeOfShape = tuple[Hashable, int]


class DurationEstimator:
    """The speeds of past runs."""

    def __init__(self) -> None:
        self._paces: dict[SizeOfShape, dict[str, tuple[datetime, float]]] = {}
        """Seconds a unit, by the job's uid, with the moment when it finished."""
        self._medians: dict[SizeOfShape, float] = {}
        self._sizes: dict[str, tuple[SizeOfShape, float]] = {}
        """With the units of work, by uid: what a spec asks for never changes, and is asked for very often."""

    def learn(self, job: Job) -> None:
        """From a job that has succeeded in its first run. The time of a second run may be that of a rest, and what
        failed says nothing."""
        seconds = measured_seconds(job)
        if seconds is None or job.status.completion_time is None:
            return
        key, units = _size(job)
        paces = self._paces[key] = self._paces.pop(key, {})  # What was learned last is forgotten last.
        paces[job.uid] = aware(job.status.completion_time), seconds / units
        if len(paces) > REMEMBERED_RUNS:
            del paces[min(paces, key=lambda uid: paces[uid])]
        self._medians[key] = median(pace for _, pace in paces.values())
        if len(self._paces) > REMEMBERED_CLASSES:
            oldest = next(iter(self._paces))
            del self._paces[oldest], self._medians[oldest]

    def forget(self, uid: str) -> None:
        """The job is gone: its speed is remembered, its size is not."""
        self._sizes.pop(uid, None)

    def seconds(self, job: Job) -> float | None:
        """What the job should take from its admission to its end; None when nothing like it has run."""
        if not self._medians:
            return None
        known = self._sizes.get(job.uid)
        if known is None:
            known = self._sizes[job.uid] = _size(job)
        key, units = known
        pace = self._medians.get(key) or self._pace_of_similar(*key)
        return None if pace is None else pace * units

    def _pace_of_similar(self, shape: Hashable, size_class: int) -> float | None:
        """The nearest size's, the larger one's of two that are as near: its speed is less that of loading a model."""
        for distance in range(1, SIMILAR_CLASSES + 1):
            for size in (size_class + distance, size_class - distance):
                if (shape, size) in self._medians:
                    return self._medians[shape, size]
        return None


def _size(job: Job) -> tuple[SizeOfShape, float]:
    work = workload(job.spec)
    return (work.shape, work.size_class), work.units


def measured_seconds(job: Job) -> float | None:
    """How long the job held its slot; None unless it has succeeded in its first run.

    Statuses tell time in whole seconds; the run's own clock knows the short ones better, but not how long its pod took
    to start. So the larger of the two.
    """
    status = job.status
    if status.phase is not Phase.SUCCEEDED or status.attempts != 1:
        return None
    if status.start_time is None or status.completion_time is None:
        return None
    held = (aware(status.completion_time) - aware(status.start_time)).total_seconds()
    seconds = max(held, status.progress.metrics.get("seconds", 0.0) if status.progress else 0.0)
    return seconds if seconds > 0 else None
