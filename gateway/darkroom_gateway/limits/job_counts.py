"""Counts of the namespace's jobs by phase and API key. Filled by the changes of jobs/store.py; used by
limits/submission_limits.py.

The jobs themselves are the truth: after a restart, the informer's first list restores the counts. Only of deleted jobs
the API server keeps nothing. Those that were deleted while this gateway runs still count as submitted within 24 hours,
otherwise deleting jobs would lift that quota.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable

from darkroom_contract.status import Phase
from darkroom_gateway.jobs.store import JobChange
from darkroom_gateway.jobs.stored_job import StoredJob

DAY_SECONDS = 24 * 3600

WAITING = (Phase.QUEUED, Phase.SUSPENDED)
RUNNING = (Phase.STARTING, Phase.RUNNING)


class JobCounts:
    """Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._phases: Counter[Phase] = Counter()
        self._phases_of: Counter[tuple[str, Phase]] = Counter()
        self._created: dict[str, dict[str, int]] = {}
        """Creation times of the last day's jobs, by key name and uid."""

    def observe(self, change: JobChange) -> None:
        """Called for every change of the store."""
        with self._lock:
            self._count(change.before, -1)
            self._count(change.after, 1)
            if change.before is None and change.after is not None:
                self._record_creation(change.after)

    def in_phases(self, phases: Iterable[Phase], key_name: str | None = None) -> int:
        """The number of jobs in these phases: of an API key, or of all submitters."""
        with self._lock:
            if key_name is None:
                return sum(self._phases[each] for each in phases)
            return sum(self._phases_of[key_name, each] for each in phases)

    def submitted_within_a_day(self, key_name: str) -> list[int]:
        """The creation times of a key's jobs of the last 24 hours, oldest first; Unix time."""
        begin = self._clock() - DAY_SECONDS
        with self._lock:
            recent = {uid: created for uid, created in self._created.get(key_name, {}).items() if created > begin}
            if recent:
                self._created[key_name] = recent
            else:
                self._created.pop(key_name, None)
        return sorted(recent.values())

    def _count(self, job: StoredJob | None, one: int) -> None:
        if job is None or not job.readable or job.phase.is_terminal:
            return
        self._phases[job.phase] += one
        if job.submitted_by is not None:
            self._phases_of[job.submitted_by, job.phase] += one
            if not self._phases_of[job.submitted_by, job.phase]:
                del self._phases_of[job.submitted_by, job.phase]

    def _record_creation(self, job: StoredJob) -> None:
        if job.submitted_by is not None and job.created > self._clock() - DAY_SECONDS:
            self._created.setdefault(job.submitted_by, {})[job.uid] = job.created
