"""Lookup, listing and deletion of jobs of both kinds.

Reads come from the store that the informer keeps up to date. A task that is not in the store is read from the API
server before it counts as unknown: another gateway may have just created it.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS, CLUSTER_WRITE_SECONDS
from darkroom_gateway.errors import AmbiguousTaskError, FieldError, UnknownTaskError
from darkroom_gateway.jobs.index import JobFilter
from darkroom_gateway.jobs.store import JobPage, JobStore
from darkroom_gateway.jobs.stored_job import Position, StoredJob
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.informer import Informer

MISS_SECONDS = 1.0
"""How long a task that the API server did not know is not requested again. If it is created, the watch delivers it."""

MAX_MISSES = 1000


class JobService:
    """The jobs of one namespace."""

    def __init__(self, kube: KubeClient, calls: Backend, store: JobStore, informer: Informer) -> None:
        """`calls` limits the calls of the API server."""
        self._kube = kube
        self._calls = calls
        self._store = store
        self._informer = informer
        self._misses: OrderedDict[tuple[str, Kind | None], float] = OrderedDict()

    async def look_up(self, task_id: str, kind: Kind | None = None) -> StoredJob:
        """The job of that name, of the given kind or of either.

        Raises `UnknownTaskError`, `AmbiguousTaskError`, or `ClusterUnavailableError` when it is not in the store and
        the API server does not respond.
        """
        await self._informer.ready()
        if (stored := self._stored(task_id, kind)) is not None:
            return stored
        return await self._calls.call(CLUSTER_READ_SECONDS, self._read_through, task_id, kind)

    async def get(self, task_id: str, kind: Kind | None = None) -> Job:
        """`look_up`, parsed. Also raises `UnreadableJobError`."""
        return self._store.read(await self.look_up(task_id, kind))

    def cached(self, task_id: str, kind: Kind | None) -> StoredJob | None:
        """The job if it is in the store; otherwise call `look_up`. Raises `AmbiguousTaskError`."""
        return self._stored(task_id, kind) if self._informer.synced else None

    def refresh(self, job: Job) -> Job | None:
        """The latest version of the job from the store, or None when it no longer exists.

        Raises `ClusterUnavailableError` while the watch is lost, and `UnreadableJobError`.
        """
        self._informer.require_watch(f"The state of {job.key}")
        stored = self._store.get(job.kind, job.name)
        if stored is None or stored.uid != job.uid:
            return None
        return self._store.read(stored)

    async def page(self, only: JobFilter, limit: int, after: Position | None) -> JobPage:
        """A page of jobs, newest first. Raises what `JobStore.page` raises, and `ClusterUnavailableError`."""
        await self._informer.ready()
        return self._store.page(only, limit, after)

    async def delete(self, task_id: str, kind: Kind | None = None) -> Job | None:
        """Delete a job and its dependents. None when it no longer exists; the job while its run is ending.

        Raises what `get` raises.
        """
        return await self._calls.call(CLUSTER_WRITE_SECONDS, self._delete, task_id, kind)

    def _delete(self, task_id: str, kind: Kind | None) -> Job | None:
        self._informer.wait_ready()
        job = self._store.read(self._stored(task_id, kind) or self._read_through(task_id, kind))
        self._kube.delete(job)
        now = self._kube.get(job.kind, job.name)
        if now is None or now.uid != job.uid:
            self.evict(job)
            return None
        return now

    def has_pending_deletions(self) -> bool:
        """Whether jobs may be marked for deletion with their files. True also while the store is not up to date."""
        return not self._informer.synced or self._informer.lost is not None or self._store.marked > 0

    def evict(self, job: Job) -> None:
        """Remove a job that no longer exists from the store, before the watch reports its deletion."""
        self._store.remove(job.kind, job.name, job.uid)

    def _stored(self, task_id: str, kind: Kind | None) -> StoredJob | None:
        found = [stored for each in kinds_of(kind) if (stored := self._store.get(each, task_id)) is not None]
        if len(found) > 1:
            choices = " or ".join(f"kind={each.value}" for each in Kind)
            message = f"Add {choices}: a TrainJob and a GenerateJob have the name {task_id}."
            raise AmbiguousTaskError(message, (FieldError("kind", message),))
        return found[0] if found else None

    def _read_through(self, task_id: str, kind: Kind | None) -> StoredJob:
        """Read the job from the API server into the store."""
        self._informer.require_watch(f"Whether the task {task_id} exists")
        if self._misses.get((task_id, kind), 0.0) < time.monotonic():
            for each in kinds_of(kind):
                self._kube.get(each, task_id)
            if (stored := self._stored(task_id, kind)) is not None:
                return stored
            self._misses[task_id, kind] = time.monotonic() + MISS_SECONDS
            if len(self._misses) > MAX_MISSES:
                self._misses.popitem(last=False)
        raise unknown_job(task_id, kind)


def kinds_of(kind: Kind | None) -> Sequence[Kind]:
    """The kind, or both."""
    return tuple(Kind) if kind is None else (kind,)


def unknown_job(task_id: str, kind: Kind | None) -> UnknownTaskError:
    if kind is None:
        message = f"There is no job {task_id}: it was never submitted, or it was deleted."
    else:
        other = Kind.GENERATE if kind is Kind.TRAIN else Kind.TRAIN
        message = f"There is no {kind} {task_id}: it was never submitted, it was deleted, or it is a {other}."
    return UnknownTaskError(message, (FieldError("task_id", message, task_id),))
