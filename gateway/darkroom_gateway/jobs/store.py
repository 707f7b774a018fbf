"""In-memory store of the latest version of every job in the namespace. Thread-safe.

Filled by kube/informer.py, and by kube/client.py with the jobs that the gateway itself reads and creates. An update is
applied only if it is newer than the stored version, so updates may arrive in any order.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.jobs.index import JobFilter, JobIndex
from darkroom_gateway.jobs.prompt_index import Entry, PromptIndex
from darkroom_gateway.jobs.stored_job import KINDS, Position, StoredJob, stored_job
from darkroom_gateway.kube.api_errors import parse_job

PARSED_JOBS = 256
"""Size of the LRU cache of parsed jobs: about 3 MB."""

MAX_DELETED_UIDS = 4096
"""Number of remembered uids of deleted jobs, for which outdated updates may still arrive."""


Listener = Callable[[StoredJob | None], None]
"""Called with each job that was added, updated or removed, and with None when all jobs of a kind were removed at once.
In any thread and under the lock of the store: it must not block, nor call the store."""


@dataclass(frozen=True)
class JobPage:
    """A page of a list, newest first."""

    jobs: list[StoredJob]
    total: int | None
    """Number of matching jobs on all pages; None with a text filter."""
    next: Position | None
    """Position after which the next page starts; None on the last."""


class JobStore:
    """The jobs by kind and name, with indexes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Kind, dict[str, StoredJob]] = {kind: {} for kind in Kind}
        self._index = JobIndex()
        self._prompts = PromptIndex()
        self._trainings: Counter[str] = Counter()
        """Number of unfinished trainings by model id."""
        self.marked = 0
        """Number of jobs that will be deleted with their files."""
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self._parsed: OrderedDict[tuple[str, int], Job] = OrderedDict()
        self._listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> None:
        """Call `listener` at each change from now on."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def stop_listening(self, listener: Listener) -> None:
        with self._lock:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def get(self, kind: Kind, name: str) -> StoredJob | None:
        return self._jobs[kind].get(name)

    def read(self, stored: StoredJob) -> Job:
        """The parsed job. Raises `UnreadableJobError` when it does not match the schema of this release."""
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

    def page(self, only: JobFilter, limit: int, after: Position | None) -> JobPage:
        """The newest matching jobs after a position, without unreadable ones. With a text filter, a page may have
        fewer jobs than `limit` although there is a next one.

        Raises `InvalidRequestError` for a text filter that matches too many words.
        """
        with self._lock:
            if only.words:
                return self._search(only, limit, after)
            jobs, total = self._index.newest(only, limit + 1, after)
        more = len(jobs) > limit
        return JobPage(jobs[:limit], total, jobs[limit - 1].position if more else None)

    def count(self, only: JobFilter) -> int:
        """The number of matching jobs, without unreadable ones. Ignores `only.words`."""
        with self._lock:
            return self._index.newest(only, 0, None)[1]

    def _search(self, only: JobFilter, limit: int, after: Position | None) -> JobPage:
        found = self._prompts.search(only.words, lambda entry: only.matches(self._job_of(entry)), limit, after)
        return JobPage(list(map(self._job_of, found.entries)), None, found.next)

    def _job_of(self, entry: Entry) -> StoredJob:
        return self._jobs[KINDS[entry[1]]][entry[4]]

    def is_being_trained(self, model_id: str) -> bool:
        """Whether the model has an unfinished training."""
        return self._trainings[model_id] > 0

    def trainings_of(self, model_id: str) -> list[StoredJob]:
        """The unfinished trainings of a model. Reads all trainings: for error messages."""
        if not self.is_being_trained(model_id):
            return []
        with self._lock:
            jobs = list(self._jobs[Kind.TRAIN].values())
        return [each for each in jobs if each.trains == model_id and not each.phase.is_terminal]

    def put(self, document: dict[str, Any], kind: Kind | None = None) -> None:
        """Store a job from the API server, unless a newer version is stored or the job was deleted."""
        kind = Kind(document["kind"]) if kind is None else kind
        job = stored_job(kind, document, self._jobs[kind].get(document["metadata"]["name"]))
        with self._lock:
            before = self._jobs[kind].get(job.name)
            if job.uid in self._deleted or (before is not None and before.version >= job.version):
                return
            if before is not None:
                self._count(before, -1)
            self._jobs[kind][job.name] = job
            self._count(job, 1)
            self._index_prompt(before, job)
            if before is not None and before.uid != job.uid:
                self._notify(before)
            self._notify(job)

    def remove(self, kind: Kind, name: str, uid: str) -> None:
        """Remove a deleted job. Keeps another job of the same name."""
        with self._lock:
            self._remember_deletion(uid)
            if (job := self._jobs[kind].get(name)) is not None and job.uid == uid:
                self._discard(job)
                self._notify(job)

    def retain(self, kind: Kind, uids: Iterable[str], version: int) -> None:
        """Remove the jobs that a list of this version did not contain, except newer ones."""
        listed = frozenset(uids)
        with self._lock:
            for job in [each for each in self._jobs[kind].values() if each.uid not in listed]:
                if job.version <= version:
                    self._remember_deletion(job.uid)
                    self._discard(job)
                    self._notify(job)

    def clear(self, kind: Kind) -> None:
        """Remove all jobs of a kind and all remembered deletions, after resource versions have restarted."""
        with self._lock:
            for job in list(self._jobs[kind].values()):
                self._discard(job)
            self._deleted.clear()
            self._notify(None)

    def _notify(self, job: StoredJob | None) -> None:
        for listener in self._listeners:
            listener(job)

    def _discard(self, job: StoredJob) -> None:
        del self._jobs[job.kind][job.name]
        self._count(job, -1)
        self._index_prompt(job, None)

    def _index_prompt(self, before: StoredJob | None, after: StoredJob | None) -> None:
        """A prompt never changes: only new, deleted and moved jobs are indexed."""
        old, new = _entry(before), _entry(after)
        if old == new:
            return
        if before is not None and old is not None:
            self._prompts.remove(old, before.prompt)
        if after is not None and new is not None:
            self._prompts.add(new, after.prompt)

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
        if len(self._deleted) > MAX_DELETED_UIDS:
            self._deleted.popitem(last=False)


def _entry(job: StoredJob | None) -> Entry | None:
    return (*job.position, job.name) if job is not None and job.readable else None
