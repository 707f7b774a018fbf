"""Estimates the duration of a job from finished jobs of the same shape and size.

`cache/cache.py` passes every job that it sees to `observe`; `eta.py` asks for estimates. The estimated pace is the
median of the newest runs, so a single slow one (a model download, say) hardly matters. Warm and cold starts have paces
of their own. Paces outlive the jobs that they were measured on, but not the operator: a new process learns from the
jobs that exist.
"""

from collections.abc import Hashable
from datetime import datetime
from statistics import median

from darkroom_contract.jobs import Job
from darkroom_contract.status import Phase, RunStart
from darkroom_operator.kube.objects import aware
from darkroom_operator.scheduling.workload import workload

MAX_RUNS = 9
"""Per shape and size. Older runs may have used another GPU or release."""
MAX_CLASSES = 1000
"""Shapes and sizes. Bounds the memory if every job has another size."""
SIMILAR_CLASSES = 3
"""Sizes up to eight times smaller or larger are used for a size that never ran. Beyond, the duration is unknown."""

SizeOfShape = tuple[Hashable, int]
PaceClass = tuple[SizeOfShape, RunStart]


class DurationEstimator:
    """Paces of past runs, in seconds per unit of work."""

    def __init__(self) -> None:
        self._paces: dict[PaceClass, dict[str, tuple[datetime, float]]] = {}
        """By the job's uid, with its completion time."""
        self._medians: dict[PaceClass, float] = {}
        self._sizes: dict[str, tuple[SizeOfShape, float]] = {}
        """Size and units of work by the job's uid: a spec is immutable, and its size is needed often."""

    def observe(self, job: Job) -> None:
        """Learn from a job that has succeeded in its first run. A second run may have resumed the first one, and a
        failure says nothing about durations."""
        seconds = measured_seconds(job)
        if seconds is None or job.status.completion_time is None:
            return
        size, units = _size(job)
        key = size, job.status.run_start or RunStart.COLD
        paces = self._paces[key] = self._paces.pop(key, {})  # Moves the class to the end: the oldest is evicted.
        paces[job.uid] = aware(job.status.completion_time), seconds / units
        if len(paces) > MAX_RUNS:
            del paces[min(paces, key=lambda uid: paces[uid])]
        self._medians[key] = median(pace for _, pace in paces.values())
        if len(self._paces) > MAX_CLASSES:
            oldest = next(iter(self._paces))
            del self._paces[oldest], self._medians[oldest]

    def forget(self, uid: str) -> None:
        """The job is deleted. Its pace is kept."""
        self._sizes.pop(uid, None)

    def estimate_seconds(self, job: Job, start: RunStart = RunStart.COLD) -> float | None:
        """From admission to end; None if no comparable job has run. By the other kind of start if none has run with
        this one."""
        if not self._medians:
            return None
        size = self._sizes.get(job.uid)
        if size is None:
            size = self._sizes[job.uid] = _size(job)
        key, units = size
        other = RunStart.COLD if start is RunStart.WARM else RunStart.WARM
        pace = self._nearest_pace(*key, start) or self._nearest_pace(*key, other)
        return None if pace is None else pace * units

    def _nearest_pace(self, shape: Hashable, size_class: int, start: RunStart) -> float | None:
        """The pace of the nearest size. Of two equally near ones the larger: loading the model distorts it less."""
        for distance in range(SIMILAR_CLASSES + 1):
            for size in (size_class + distance, size_class - distance):
                if (found := self._medians.get(((shape, size), start))) is not None:
                    return found
        return None


def _size(job: Job) -> tuple[SizeOfShape, float]:
    work = workload(job.spec)
    return (work.shape, work.size_class), work.units


def measured_seconds(job: Job) -> float | None:
    """How long the job held its slot; None unless it has succeeded in its first run.

    The larger of two measurements: statuses have whole seconds, and the run's own metric excludes the start of its pod.
    """
    status = job.status
    if status.phase is not Phase.SUCCEEDED or status.attempts != 1:
        return None
    if status.start_time is None or status.completion_time is None:
        return None
    held = (aware(status.completion_time) - aware(status.start_time)).total_seconds()
    seconds = max(held, status.progress.metrics.get("seconds", 0.0) if status.progress else 0.0)
    return seconds if seconds > 0 else None
