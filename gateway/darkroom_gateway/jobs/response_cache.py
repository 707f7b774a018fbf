"""Cache of serialized responses, so that many polls of one job version serialize it once. Used on the event loop.

Entries are keyed by uid and resource version, so they can't be outdated. The exception is the countdown of a waiting
job: those entries expire after a second. Responses with presigned links are never cached.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from anyio import to_thread
from pydantic import BaseModel

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.cursors import write_cursor
from darkroom_gateway.jobs.schemas import Stale
from darkroom_gateway.jobs.serializers import job_answer
from darkroom_gateway.jobs.store import JobPage, JobStore
from darkroom_gateway.jobs.stored_job import StoredJob
from darkroom_gateway.kube.informer import Lost

KEPT_ANSWERS = 1024
"""Least recently used entries are evicted. An entry has one to three kB."""

COUNTDOWN_SECONDS = 1.0
"""Maximum age of `queue.estimated_start_seconds`."""

AT_ONCE = 20
"""Pages with at most this many jobs are serialized on the event loop, larger ones in a thread."""

Key = tuple[str, int, bool]
"""Uid, resource version, and whether files are included."""

Serializer = Callable[[Job], BaseModel]


class ResponseCache:
    """Safe to use from several threads."""

    def __init__(self, store: JobStore, with_files: Mapping[Kind, Serializer], root_path: str) -> None:
        """`with_files` makes the answers that include a job's files."""
        self._store = store
        self._with_files = with_files
        self._root_path = root_path
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, tuple[bytes, float]] = OrderedDict()

    def job(self, stored: StoredJob) -> bytes:
        """The JSON of a `JobAnswer`. Raises `UnreadableJobError`."""
        return self._answer(stored, False, lambda job: job_answer(job, self._root_path))

    async def with_files(self, stored: StoredJob) -> bytes:
        """The JSON of a `TrainingAnswer` or an `ImagesAnswer`; with fresh links when the job has succeeded.

        Raises `UnreadableJobError`, or `StorageUnavailableError` when links can't be signed.
        """
        if (body := self.ready_with_files(stored)) is not None:
            return body
        job = self._store.read(stored)
        return await to_thread.run_sync(lambda: encoded(self._full(job)))

    def ready_with_files(self, stored: StoredJob) -> bytes | None:
        """The same if it needs no links, else None."""
        return None if stored.phase is Phase.SUCCEEDED else self._answer(stored, True, self._full)

    async def page(self, page: JobPage, lost: Lost | None) -> bytes:
        """The JSON of a `JobList`."""
        if len(page.jobs) <= AT_ONCE:
            jobs = self._jobs(page.jobs)
        else:
            jobs = await to_thread.run_sync(self._jobs, page.jobs)
        cursor = b"" if page.next is None else b',"next_cursor":"%s"' % write_cursor(page.next).encode()
        total = page.total or 0  # Only pages with a text filter have none, and this list has no such filter.
        return with_staleness(b'{"jobs":[%s],"total":%d%s}' % (jobs, total, cursor), lost)

    def _jobs(self, jobs: Sequence[StoredJob]) -> bytes:
        return b",".join(map(self.job, jobs))

    def _full(self, job: Job) -> BaseModel:
        return self._with_files[job.kind](job)

    def _answer(self, stored: StoredJob, files: bool, serialize: Serializer) -> bytes:
        key = (stored.uid, stored.version, files)
        with self._lock:
            if (kept := self._kept.get(key)) is not None and time.monotonic() < kept[1]:
                self._kept.move_to_end(key)
                return kept[0]
        job = self._store.read(stored)
        body = encoded(serialize(job))
        counts_down = job.status.queue is not None and job.status.queue.estimated_start_time is not None
        with self._lock:
            self._kept[key] = body, time.monotonic() + COUNTDOWN_SECONDS if counts_down else float("inf")
            if len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)
        return body


def encoded(answer: BaseModel) -> bytes:
    """JSON without null fields."""
    return answer.model_dump_json(exclude_none=True).encode()


def with_staleness(answer: bytes, lost: Lost | None) -> bytes:
    """The JSON of an answer, with `stale` appended while the watch is lost."""
    if lost is None:
        return answer
    return b'%s,"stale":%s}' % (answer[:-1], encoded(Stale(since=lost.since, detail=lost.detail)))
