"""Background task that completes deletions. Started by app.py, one per gateway.

Every few seconds it continues the deletion of jobs with their files, and every few minutes it sweeps everything:
interrupted deletions of models, imported LoRAs that no model refers to, old uploads by links, and datasets past their
retention. All of its work is idempotent: several gateways may do it at the same time, and it may be interrupted
anywhere.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from anyio import move_on_after

from darkroom_contract.jobs import Job
from darkroom_contract.names import Kind, model_of_reference, step_of_reference
from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.backends.deadlines import (
    CLUSTER_LIST_SECONDS,
    CLUSTER_READ_SECONDS,
    CLUSTER_WRITE_SECONDS,
    MODELS_SECONDS,
)
from darkroom_gateway.deletion.background import in_daemon_thread, run_for_each
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.deletion.import_collector import ImportCollector
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.deletion.model_deleter import ModelDeleter
from darkroom_gateway.deletion.upload_collector import UploadCollector
from darkroom_gateway.errors import GatewayError, ModelInUseError, UnknownModelError
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.redis.progress_streams import ProgressStreams

log = logging.getLogger(__name__)

ROUND_SECONDS = 5.0
"""Interval between rounds over the labelled jobs: two small lists, only if the store has any such job."""
MAX_ROUND_SECONDS = 60.0
"""The interval doubles with each failed round, up to this."""
SWEEP_SECONDS = 600.0
"""Interval between sweeps: each lists all jobs, and the datasets in storage."""
ANSWER_SECONDS = 3.0
"""How long a request waits for its deletion to complete before it returns 202."""


class Sweeper:
    """Starts deletions, and completes those of all gateways."""

    def __init__(
        self,
        jobs: JobService,
        backends: Backends,
        job_deleter: JobDeleter,
        model_deleter: ModelDeleter,
        imports: ImportCollector,
        datasets: DatasetRetention,
        uploads: UploadCollector,
        progress_streams: ProgressStreams,
    ) -> None:
        self._jobs = jobs
        self._backends = backends
        self._job_deleter = job_deleter
        self._model_deleter = model_deleter
        self._imports = imports
        self._datasets = datasets
        self._uploads = uploads
        self._progress_streams = progress_streams
        self._wake = asyncio.Event()
        self._waiters: list[asyncio.Event] = []
        self._next_sweep = 0.0

    async def delete_job(self, task_id: str, kind: Kind | None) -> Job | None:
        """Delete a job with its files. None when both are removed; the job while its run or storage delays that.

        Raises `UnknownTaskError`, `AmbiguousTaskError` or `AlreadyDeletingError`.
        """
        job = await self._jobs.get(task_id, kind)
        await self._backends.cluster.call(CLUSTER_WRITE_SECONDS, self._job_deleter.request, job)
        with move_on_after(ANSWER_SECONDS):
            await self._next_round()
        now = await self._backends.cluster.call(CLUSTER_READ_SECONDS, self._job_deleter.refresh, job)
        if now is None:
            self._jobs.evict(job)
        return now

    async def delete_job_if(self, job: Job, condition: Callable[[Job], bool]) -> bool:
        """Delete a job with its files if its latest version meets the condition. The next round completes it.

        Raises `UnknownTaskError`, `AlreadyDeletingError`, or `ClusterUnavailableError`.
        """
        is_deleted = await self._backends.cluster.call(
            CLUSTER_WRITE_SECONDS, self._job_deleter.request_if, job, condition
        )
        if is_deleted:
            self._wake.set()
        return is_deleted

    async def delete_model(self, reference: str) -> None:
        """Delete a model, or one of its saved steps.

        Raises `UnknownModelError` or `ModelInUseError`. After any other error a sweep resumes the deletion of a model;
        that of a step may be repeated."""
        jobs = await self._backends.cluster.call(CLUSTER_LIST_SECONDS, self._job_deleter.all)
        model_id, step = model_of_reference(reference), step_of_reference(reference)
        if step is not None:
            await self._backends.storage.call(MODELS_SECONDS, self._model_deleter.delete_step, model_id, step, jobs)
            return
        try:
            await self._backends.storage.call(MODELS_SECONDS, self._model_deleter.delete, model_id, jobs)
        except (UnknownModelError, ModelInUseError):
            raise  # Nothing was started.
        except Exception:
            self._next_sweep = 0.0
            raise

    async def run(self) -> None:
        """Run until cancelled. The first round starts immediately, because another gateway may have died midway."""
        failed = 0
        self._wake.set()
        while True:
            wait = min(ROUND_SECONDS * 2**failed, MAX_ROUND_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            self._wake.clear()
            waiters, self._waiters = self._waiters, []
            try:
                await self._round(waiters)
                failed = 0
            except Exception as error:
                failed = min(failed + 1, 10)
                log.warning("deletions are delayed: %s", error, exc_info=not isinstance(error, GatewayError))

    async def _round(self, waiters: list[asyncio.Event]) -> None:
        """One round. Raises the first error of the cluster or storage after everything else was tried."""
        try:
            if waiters or self._jobs.has_pending_deletions():
                await self._progress_streams.delete(await in_daemon_thread(self._proceed))
        finally:
            for waiter in waiters:
                waiter.set()
        now = asyncio.get_running_loop().time()
        if now >= self._next_sweep:
            self._next_sweep = again = now + MAX_ROUND_SECONDS  # In case it fails.
            await in_daemon_thread(self._sweep)
            if self._next_sweep == again:  # Unless a deletion has requested another sweep in the meantime.
                self._next_sweep = now + SWEEP_SECONDS

    def _proceed(self) -> list[str]:
        return self._job_deleter.proceed(self._job_deleter.labelled())

    def _sweep(self) -> None:
        jobs = self._job_deleter.all()
        # Jobs whose label was removed by hand.
        unlabelled = [job for job in jobs if job.has_finalizer and not job.labelled]
        parts: dict[str, Callable[[], object]] = {
            "a job without its label": lambda: self._job_deleter.proceed(unlabelled),
            "a deleted model": lambda: self._model_deleter.complete_all(jobs),
            "an imported LoRA": lambda: self._imports.collect(jobs, datetime.now(UTC)),
            "an upload by links": lambda: self._uploads.collect(jobs, datetime.now(UTC)),
            "a dataset past its retention": lambda: self._datasets.sweep(jobs, datetime.now(UTC)),
        }
        run_for_each(parts, lambda part: parts[part](), str)

    async def _next_round(self) -> None:
        waiter = asyncio.Event()
        self._waiters.append(waiter)
        self._wake.set()
        await waiter.wait()
