"""Logs of runs, from object storage. Called by jobs/router.py."""

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import run_log_key
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import STORAGE_SECONDS
from darkroom_gateway.errors import FieldError, UnknownLogError
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.storage.client import ObjectStorage


class RunLogs:
    """The run logs of the jobs of one namespace."""

    def __init__(self, jobs: JobService, storage: ObjectStorage, backends: Backends) -> None:
        self._jobs = jobs
        self._storage = storage
        self._backends = backends

    async def read(self, task_id: str, kind: Kind | None, attempt: int | None) -> bytes:
        """The log of a run; of the latest one when `attempt` is None.

        Raises `UnknownLogError`, what `JobService.get` raises, and `StorageUnavailableError`.
        """
        job = await self._jobs.get(task_id, kind)
        number = job.status.attempts if attempt is None else attempt
        text = None
        if number:
            key = run_log_key(job.uid, number)
            text = await self._backends.storage.call(STORAGE_SECONDS, self._storage.read, key)
        if text is None:
            raise no_log(job, number)
        return text


def no_log(job: Job, number: int) -> UnknownLogError:
    """The error for a log that does not exist. `number` is that of the run; 0 when there was none."""
    runs = job.status.attempts
    if not number:
        message = f"{job.name} has not run yet. Its log starts with its first run."
    elif number > runs:
        message = f"{job.name} has no run {number}: it has run {'once' if runs == 1 else f'{runs} times'}."
    else:
        message = f"Run {number} of {job.name} has no log yet. It appears a few seconds after the run has started."
    return UnknownLogError(message, (FieldError("attempt", message),))
