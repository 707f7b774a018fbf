"""Changes of jobs: priority, suspend, resume, cancel. Called by v1/jobs_router.py.

Only `spec` is written here. The operator acts on it, so the status of a job may follow a moment later.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import CLUSTER_WRITE_SECONDS
from darkroom_gateway.errors import AlreadyDeletingError, FieldError, FinishedJobError
from darkroom_gateway.jobs.service import JobService, unknown_job
from darkroom_gateway.jobs.stored_job import StoredJob
from darkroom_gateway.kube.client import KubeClient


class JobActions:
    """Changes the jobs of one namespace."""

    def __init__(self, jobs: JobService, kube: KubeClient, cluster: Backend) -> None:
        self._jobs = jobs
        self._kube = kube
        self._cluster = cluster

    async def change(self, job_id: str, kind: Kind | None, fields: dict[str, Any]) -> StoredJob:
        """Set fields of the spec, by their names in YAML. Returns the changed job.

        Raises `FinishedJobError` or `AlreadyDeletingError` for a job on which a change has no effect, and what
        `JobService.look_up` raises.
        """
        stored = await self._unfinished(job_id, kind, "change")
        if stored.deleting:
            raise AlreadyDeletingError(f"{stored.kind}/{stored.name} is being deleted, and can't be changed.")
        change = partial(self._kube.change_spec, stored.kind, stored.name, fields)
        if await self._cluster.call(CLUSTER_WRITE_SECONDS, change) is None:
            raise unknown_job(stored.name, stored.kind)  # It was deleted, and the watch has not delivered that yet.
        return await self._jobs.look_up(stored.name, stored.kind)

    async def cancel(self, job_id: str, kind: Kind | None) -> Job:
        """Delete a job that has not finished, and return it as it was last. Its run is stopped.

        Raises `FinishedJobError`, and what `JobService.delete` raises.
        """
        stored = await self._unfinished(job_id, kind, "cancel")
        before = await self._jobs.get(stored.name, stored.kind)
        return replace(await self._jobs.delete(stored.name, stored.kind) or before, deleting=True)

    async def _unfinished(self, job_id: str, kind: Kind | None, action: str) -> StoredJob:
        stored = await self._jobs.look_up(job_id, kind)
        if stored.phase.is_terminal:
            message = f"There is nothing to {action}: {job_id} has finished ({stored.phase})."
            raise FinishedJobError(message, (FieldError("id", message, job_id),))
        return stored
