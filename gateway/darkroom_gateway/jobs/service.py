"""Finding, listing and deleting jobs of both kinds. Called by endpoints, events/hub.py, jobs/run_logs.py and
deletion/sweeper.py.

Reads are answered by the store that the informer keeps, without asking anybody. A task that the store does not know is
asked for at the API server before it is called unknown: another gateway may have created it this moment.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.status import Phase
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_READ_SECONDS
from darkroom_gateway.errors import AmbiguousTaskError, FieldError, UnknownTaskError
from darkroom_gateway.jobs.serializers import STATUS_PATHS
from darkroom_gateway.jobs.store import JobPage, JobStore
from darkroom_gateway.jobs.stored_job import Position, StoredJob
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.kube.informer import Informer

MISS_SECONDS = 1.0
"""For this long the API server is not asked again for a task that it did not know. The watch brings it all the same."""
REMEMBERED_MISSES = 1000


class JobService:
    """The jobs of one namespace."""

    def __init__(self, cluster: KubeClient, calls: Backend, store: JobStore, informer: Informer) -> None:
        """`calls` are those of the API server."""
        self._cluster = cluster
        self._calls = calls
        self._store = store
        self._informer = informer
        self._misses: OrderedDict[tuple[str, Kind | None], float] = OrderedDict()

    async def look_up(self, task_id: str, kind: Kind | None = None) -> StoredJob:
        """The job of that name, of one kind or of either; for the event loop.

        Raises `UnknownTaskError`, `AmbiguousTaskError`, or `ClusterUnavailableError` when the store does not know it
        and the API server can't be asked.
        """
        await self._informer.ready()
        if (stored := self._stored(task_id, kind)) is not None:
            return stored
        return await self._calls.call(CLUSTER_READ_SECONDS, self._read_through, task_id, kind)

    async def get(self, task_id: str, kind: Kind | None = None) -> Job:
        """The same, parsed. Raises `UnreadableJobError`, too."""
        return self._store.read(await self.look_up(task_id, kind))

    def cached(self, task_id: str, kind: Kind | None) -> StoredJob | None:
        """The job when the store can tell; else `look_up` knows more. Raises `AmbiguousTaskError`."""
        return self._stored(task_id, kind) if self._informer.synced else None

    def find(self, task_id: str, kind: Kind | None = None) -> Job:
        """`get` for worker threads."""
        self._informer.wait_ready()
        return self._store.read(self._stored(task_id, kind) or self._read_through(task_id, kind))

    def refresh(self, job: Job) -> Job | None:
        """The same job as it is now, or None when it is gone, even if another has its name. Asks nobody.

        Raises `ClusterUnavailableError` while the watch is lost, and `UnreadableJobError`.
        """
        self._informer.require_watch(f"What became of {job.key}")
        stored = self._store.get(job.kind, job.name)
        if stored is None or stored.uid != job.uid:
            return None
        return self._store.read(stored)

    async def page(
        self, kind: Kind | None, phase: Phase | None, submitted_by: str | None, limit: int, behind: Position | None
    ) -> JobPage:
        """Newest first. `submitted_by` is the name of a key."""
        await self._informer.ready()
        return self._store.page(_kinds(kind), phase, submitted_by, limit, behind)

    def delete(self, task_id: str, kind: Kind | None = None) -> Job | None:
        """Delete a job and what it owns. None when it is gone; the job when it waits for its run to end."""
        job = self.find(task_id, kind)
        self._cluster.delete(job)
        now = self._cluster.get(job.kind, job.name)
        if now is None or now.uid != job.uid:
            self.forget(job)
            return None
        return now

    def has_pending_deletions(self) -> bool:
        """Whether any job may be marked to go with its files: also while the store can't tell."""
        return not self._informer.synced or self._informer.lost is not None or self._store.marked > 0

    def forget(self, job: Job) -> None:
        """The job is known to be gone: no answer of this gateway shows it any more."""
        self._store.remove(job.kind, job.name, job.uid)

    def _stored(self, task_id: str, kind: Kind | None) -> StoredJob | None:
        found = [stored for each in _kinds(kind) if (stored := self._store.get(each, task_id)) is not None]
        if len(found) > 1:
            choices = " or ".join(f"kind={each.value}" for each in Kind)
            message = f"Add {choices}: there is a TrainJob and a GenerateJob of the name {task_id}."
            raise AmbiguousTaskError(message, (FieldError("kind", message),))
        return found[0] if found else None

    def _read_through(self, task_id: str, kind: Kind | None) -> StoredJob:
        """Ask the API server, whose answer goes into the store."""
        self._informer.require_watch(f"Whether there is a task {task_id}")
        if self._misses.get((task_id, kind), 0.0) < time.monotonic():
            for each in _kinds(kind):
                self._cluster.get(each, task_id)
            if (stored := self._stored(task_id, kind)) is not None:
                return stored
            self._misses[task_id, kind] = time.monotonic() + MISS_SECONDS
            if len(self._misses) > REMEMBERED_MISSES:
                self._misses.popitem(last=False)
        raise _unknown(task_id, kind)


def _kinds(kind: Kind | None) -> Sequence[Kind]:
    return tuple(Kind) if kind is None else (kind,)


def _unknown(task_id: str, kind: Kind | None) -> UnknownTaskError:
    name = "job" if kind is None else kind.value
    advice = "" if kind is None else f" {STATUS_PATHS[kind]} knows {name}s only; GET /jobs lists both kinds."
    message = f"There is no {name} {task_id}: it was never submitted, or it was deleted.{advice}"
    return UnknownTaskError(message, (FieldError("task_id", message, task_id),))
