"""When the API keys' jobs of the last 24 hours were created. Filled by the changes of jobs/store.py; used by
jobs/submission_limits.py.

After a restart, the informer's first list restores it. Of deleted jobs the API server keeps nothing: those that were
deleted while this gateway runs still count, otherwise deleting jobs would lift the quota; earlier ones don't.
"""

import threading
import time
from collections.abc import Callable

from darkroom_gateway.jobs.stored_job import StoredJob

DAY_SECONDS = 24 * 3600


class RecentSubmissions:
    """Creation times of recent jobs, by key name and uid. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._created: dict[str, dict[str, int]] = {}

    def note(self, job: StoredJob | None) -> None:
        """Called for each change of a job, by any thread; None: the store was cleared."""
        if job is not None and job.submitted_by is not None and job.created > self._clock() - DAY_SECONDS:
            with self._lock:
                self._created.setdefault(job.submitted_by, {})[job.uid] = job.created

    def times_of(self, key_name: str) -> list[int]:
        """The creation times of the key's jobs of the last 24 hours, oldest first; Unix time."""
        begin = self._clock() - DAY_SECONDS
        with self._lock:
            recent = {uid: created for uid, created in self._created.pop(key_name, {}).items() if created > begin}
            if recent:
                self._created[key_name] = recent
        return sorted(recent.values())
