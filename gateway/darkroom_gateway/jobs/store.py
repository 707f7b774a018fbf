"""The jobs of the namespace as the API server had them last, in memory. Filled by kube/informer.py, and by
kube/client.py with what the gateway itself reads and creates; read by jobs/service.py and models/catalog.py, from the
event loop and from threads.

Whatever comes is taken only when it is newer than what is there, so the sources need no order among them.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.index import JobIndex
from darkroom_gateway.jobs.stored_job import Position, StoredJob, stored_job
from darkroom_gateway.kube.api_errors import parse_job

PARSED_JOBS = 256
"""Jobs that are kept parsed, those read last: about 3 MB."""

REMEMBERED_DELETIONS = 4096
"""Uids of jobs that were seen to go. News of them from before may still come, and uids never come again."""


@dataclass(frozen=True)
class JobPage:
    """A part of a list, newest first."""

    jobs: list[StoredJob]
    total: int
    """Jobs that pass the filters, on all pages."""
    next: Position | None
    """Behind which the next page begins; None on the last."""


class JobStore:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Kind, dict[str, StoredJob]] = {kind: {} for kind in Kind}
        self._index = JobIndex()
        self._trainings: Counter[str] = Counter()
        """By model: trainings that have not ended."""
        self.marked = 0
        """Jobs that are to go with their files."""
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self._parsed: OrderedDict[tuple[str, int], Job] = OrderedDict()

    def get(self, kind: Kind, name: str) -> StoredJob | None:
        return self._jobs[kind].get(name)

    def read(self, stored: StoredJob) -> Job:
        """The whole job. Raises `UnreadableJobError` when this release's schema refuses it."""
        key = (stored.uid, stored.version)
        with self._lock:
            if (job := self._parsed.get(key)) is not None:
                self._parsed.move_to_end(key)
                return job
        job = parse_job(stored.document())
        with self._lock:
            self._parsed[key] = job
            if len(self._parsed) > PARSED_JOBS:
                self._parsed.popitem(last=False)
        return job

    def page(
        self, kinds: Sequence[Kind], phase: Phase | None, submitted_by: str | None, limit: int, behind: Position | None
    ) -> JobPage:
        """The newest jobs that pass the filters, from behind a position. Jobs that can't be read are left out."""
        with self._lock:
            jobs, total = self._index.newest(kinds, phase, submitted_by, limit + 1, behind)
        more = len(jobs) > limit
        return JobPage(jobs[:limit], total, jobs[limit - 1].position if more else None)

    def is_being_trained(self, model_id: str) -> bool:
        """Whether there is a training of that model that has not ended."""
        return self._trainings[model_id] > 0

    def put(self, document: dict[str, Any], kind: Kind | None = None) -> None:
        """Take a job as the API server has just shown it, unless a newer version is there or it was seen to go."""
        kind = Kind(document["kind"]) if kind is None else kind
        job = stored_job(kind, document, self._jobs[kind].get(document["metadata"]["name"]))
        with self._lock:
            before = self._jobs[kind].get(job.name)
            if job.uid in self._deleted or (before is not None and before.version >= job.version):
                return
            if before is not None:
                self._take_out(before)
            self._jobs[kind][job.name] = job
            self._count(job, 1)

    def remove(self, kind: Kind, name: str, uid: str) -> None:
        """Forget a job that is gone. Another one under its name stays."""
        with self._lock:
            self._remember_deletion(uid)
            if (job := self._jobs[kind].get(name)) is not None and job.uid == uid:
                self._take_out(job)

    def retain(self, kind: Kind, uids: Iterable[str], version: int) -> None:
        """Forget the jobs that a list of this version did not have. Newer ones it couldn't have."""
        listed = frozenset(uids)
        with self._lock:
            for job in [each for each in self._jobs[kind].values() if each.uid not in listed]:
                if job.version <= version:
                    self._remember_deletion(job.uid)
                    self._take_out(job)

    def clear(self, kind: Kind) -> None:
        """Forget all jobs of a kind, deletions too: for an API server whose versions began anew."""
        with self._lock:
            for job in list(self._jobs[kind].values()):
                self._take_out(job)
            self._deleted.clear()

    def _take_out(self, job: StoredJob) -> None:
        del self._jobs[job.kind][job.name]
        self._count(job, -1)

    def _count(self, job: StoredJob, one: int) -> None:
        self.marked += one if job.marked else 0
        if not job.readable:
            return
        if one > 0:
            self._index.add(job)
        else:
            self._index.remove(job)
        if job.trains is not None and not job.phase.is_terminal:
            self._trainings[job.trains] += one
            if not self._trainings[job.trains]:
                del self._trainings[job.trains]

    def _remember_deletion(self, uid: str) -> None:
        self._deleted[uid] = None
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
