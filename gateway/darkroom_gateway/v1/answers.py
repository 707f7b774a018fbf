"""Cache of serialized `V1Job`s, so that many reads of one version of a job serialize it once.

As in jobs/response_cache.py, entries are keyed by uid and resource version, and expire with what is counted from now:
the seconds until a waiting job starts, and the lifetime of presigned links.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from anyio import to_thread

from darkroom_gateway.jobs.cursors import write_cursor
from darkroom_gateway.jobs.response_cache import AT_ONCE, COUNTDOWN_SECONDS
from darkroom_gateway.jobs.schemas import Stale
from darkroom_gateway.jobs.store import JobPage, JobStore
from darkroom_gateway.jobs.stored_job import StoredJob
from darkroom_gateway.kube.informer import Lost
from darkroom_gateway.storage.client import ObjectStorage
from darkroom_gateway.v1.schemas import V1Job
from darkroom_gateway.v1.serializers import v1_job

KEPT_ANSWERS = 1024
"""Least recently used entries are evicted. An entry has one to five kB."""

LINK_SECONDS = 20.0
"""Maximum age of links in an answer. Their `expires` is right at any age."""

_NOT_STALE = b"null}"
"""The end of an answer: `stale` is its last key."""


class JobAnswers:
    """Safe to use from several threads."""

    def __init__(self, store: JobStore, storage: ObjectStorage, root_path: str) -> None:
        self._store = store
        self._storage = storage
        self._root_path = root_path
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[bytes, float]] = OrderedDict()

    def job(self, stored: StoredJob, lost: Lost | None) -> bytes:
        """The JSON of a `V1Job`. Raises `UnreadableJobError`, or `StorageUnavailableError` when links can't be
        signed."""
        return _with_staleness(self._job(stored), lost)

    async def page(self, page: JobPage, lost: Lost | None) -> bytes:
        """The JSON of a `V1JobList`. Raises what `job` raises."""
        if len(page.jobs) <= AT_ONCE:
            jobs = self._jobs(page.jobs)
        else:
            jobs = await to_thread.run_sync(self._jobs, page.jobs)
        total = b"null" if page.total is None else b"%d" % page.total
        cursor = b"null" if page.next is None else b'"%s"' % write_cursor(page.next).encode()
        return _with_staleness(b'{"jobs":[%s],"total":%s,"next_cursor":%s,"stale":null}' % (jobs, total, cursor), lost)

    def _jobs(self, jobs: Sequence[StoredJob]) -> bytes:
        return b",".join(map(self._job, jobs))

    def _job(self, stored: StoredJob) -> bytes:
        key = (stored.uid, stored.version)
        with self._lock:
            if (kept := self._kept.get(key)) is not None and time.monotonic() < kept[1]:
                self._kept.move_to_end(key)
                return kept[0]
        job = v1_job(self._store.read(stored), self._storage, self._root_path)
        body = job.model_dump_json().encode()
        with self._lock:
            self._kept[key] = body, time.monotonic() + _kept_seconds(job)
            if len(self._kept) > KEPT_ANSWERS:
                self._kept.popitem(last=False)
        return body


def _kept_seconds(job: V1Job) -> float:
    if job.queue is not None and job.queue.estimated_start is not None:
        return COUNTDOWN_SECONDS
    return LINK_SECONDS if job.artifacts else float("inf")


def _with_staleness(answer: bytes, lost: Lost | None) -> bytes:
    if lost is None:
        return answer
    stale = Stale(since=lost.since, detail=lost.detail).model_dump_json().encode()
    return answer.removesuffix(_NOT_STALE) + stale + b"}"
