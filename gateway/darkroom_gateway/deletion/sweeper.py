"""The task in the background that completes deletions. Started by app.py, one in each gateway.

Every few seconds it looks for jobs that are to go with their files, and more rarely at everything: models whose
deletion was interrupted, and datasets past their retention. All that it does may be done twice, by several gateways at
once, and stopped anywhere.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from anyio import move_on_after

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import (
    CLUSTER_LIST_SECONDS,
    CLUSTER_READ_SECONDS,
    CLUSTER_WRITE_SECONDS,
    MODELS_SECONDS,
)
from darkroom_gateway.deletion.background import in_daemon_thread, run_for_each
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.model_deleter import ModelDeleter
from darkroom_gateway.errors import GatewayError, ModelInUseError, UnknownModelError
from darkroom_gateway.events.progress_streams import ProgressStreams
from darkroom_gateway.jobs.service import JobService

log = logging.getLogger(__name__)

ROUND_SECONDS = 5.0
"""Between two looks at the labelled jobs: two small lists, where the gateway's memory has any such job."""
MAX_ROUND_SECONDS = 60.0
"""The wait doubles with each round that failed, up to this."""
SWEEP_SECONDS = 600.0
"""Between two looks at everything: one list of all jobs, and of the datasets in storage."""
ANSWER_SECONDS = 3.0
"""How long a request waits for its deletion to complete before it is answered with 202."""


class Sweeper:
    """Completes deletions, of any gateway."""

    def __init__(
        self,
        jobs: JobService,
        backends: Backends,
        job_files: JobDeleter,
        model_files: ModelDeleter,
        datasets: DatasetRetention,
        progress: ProgressStreams,
    ) -> None:
        self._jobs = jobs
        self._backends = backends
        self._job_files = job_files
        self._model_files = model_files
        self._datasets = datasets
        self._progress = progress
        self._woken = asyncio.Event()
        self._askers: list[asyncio.Event] = []
        self._next_sweep = 0.0

    async def delete_job(self, task_id: str, kind: Kind | None) -> Job | None:
        """Delete a job with its files. None when both are gone; the job when it waits for its run or for storage.

        Raises `UnknownTaskError`, `AmbiguousTaskError` or `AlreadyDeletingError`.
        """
        job = await self._jobs.get(task_id, kind)
        await self._backends.cluster.call(CLUSTER_WRITE_SECONDS, self._job_files.request, job)
        with move_on_after(ANSWER_SECONDS):
            await self._next_round()
        now = await self._backends.cluster.call(CLUSTER_READ_SECONDS, self._job_files.refresh, job)
        if now is None:
            self._jobs.evict(job)
        return now

    async def delete_model(self, model_id: str) -> None:
        """Raises `UnknownModelError` or `ModelInUseError`. Whatever else stops it midway, a sweep goes on with it."""
        jobs = await self._backends.cluster.call(CLUSTER_LIST_SECONDS, self._job_files.all)
        try:
            await self._backends.storage.call(MODELS_SECONDS, self._model_files.delete, model_id, jobs)
        except (UnknownModelError, ModelInUseError):
            raise  # Nothing was begun.
        except Exception:
            self._next_sweep = 0.0
            raise

    async def run(self) -> None:
        """Until it is cancelled. The first round comes at once: another gateway may have died in the middle."""
        failed = 0
        self._woken.set()
        while True:
            wait = min(ROUND_SECONDS * 2**failed, MAX_ROUND_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), wait)
            self._woken.clear()
            askers, self._askers = self._askers, []
            try:
                await self._round(askers)
                failed = 0
            except Exception as error:
                failed = min(failed + 1, 10)
                log.warning("deletions wait: %s", error, exc_info=not isinstance(error, GatewayError))

    async def _round(self, askers: list[asyncio.Event]) -> None:
        """One look. Raises what the cluster or storage refuse, after everything else was tried."""
        try:
            if askers or self._jobs.has_pending_deletions():
                await self._progress.forget(await in_daemon_thread(self._proceed))
        finally:
            for asker in askers:
                asker.set()
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = again = now + MAX_ROUND_SECONDS  # Should it fail.
            await in_daemon_thread(self._sweep)
            if self._next_sweep == again:  # No deletion has asked for another one meanwhile.
                self._next_sweep = now + SWEEP_SECONDS

    def _proceed(self) -> list[str]:
        return self._job_files.proceed(self._job_files.labelled())

    def _sweep(self) -> None:
        jobs = self._job_files.all()
        # Deleted jobs whose label somebody took away.
        unlabelled = [job for job in jobs if job.held and not job.labelled]
        parts: dict[str, Callable[[], object]] = {
            "a job without its label": lambda: self._job_files.proceed(unlabelled),
            "a deleted model": lambda: self._model_files.complete_all(jobs),
            "a dataset past its retention": lambda: self._datasets.sweep(jobs, datetime.now(UTC)),
        }
        run_for_each(parts, lambda part: parts[part](), str)

    async def _next_round(self) -> None:
        asker = asyncio.Event()
        self._askers.append(asker)
        self._woken.set()
        await asker.wait()
