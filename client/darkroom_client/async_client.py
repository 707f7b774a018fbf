"""The client of a gateway with asyncio: `AsyncDarkroom`. It has the methods of `Darkroom`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from darkroom_client import calls, submissions
from darkroom_client.async_transport import AsyncTransport
from darkroom_client.calls import JobFilters
from darkroom_client.downloads import existing_copy, safe_name
from darkroom_client.errors import DarkroomError, DownloadError, WaitTimeoutError
from darkroom_client.http_requests import FileLink
from darkroom_client.job_events import Event, FollowedJob, Outage, WatchedJobs
from darkroom_client.log_lines import LogLines
from darkroom_client.models import Job, JobPage, Kind, Model, ModelDetail
from darkroom_client.retries import Retries
from darkroom_client.settings import load_settings
from darkroom_client.submissions import OnUpload, Spec, SubmissionOptions

LONG_POLL_SECONDS = 30.0


class AsyncDarkroom:
    """Trains, generates, and manages jobs and models over a gateway's REST API.

    Requests are retried where that is safe; each submission has an idempotency key. Every method raises a
    `DarkroomError`, see darkroom_client/errors.py. Use it as a context manager, or call `close()`.
    """

    def __init__(
        self, gateway: str | None = None, *, api_key: str | None = None, retries: Retries | None = None
    ) -> None:
        """Without arguments: the address and the key of the environment or of the configuration file."""
        self._transport = AsyncTransport(load_settings(gateway, api_key), retries or Retries())

    @property
    def gateway(self) -> str:
        """Its address."""
        return self._transport.settings.gateway

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Submissions

    async def train(
        self,
        photos: Iterable[Path | str] | Path | str = (),
        *,
        model_id: str,
        prompt: str,
        max_steps: int | None = None,
        training: Spec | None = None,
        dataset_uri: str | None = None,
        **options: Unpack[SubmissionOptions],
    ) -> Job:
        """Train a LoRA on photos (files or folders, with captions and masks beside them) or on a dataset's `s3://` URI.

        `training` has fields of the resource's spec.training, in camelCase: `{"rank": 16, "learningRate": 1e-4}`.
        """
        named = {"modelId": model_id, "prompt": prompt, "maxSteps": max_steps, "training": training}
        call = submissions.training(photos, named, dataset_uri=dataset_uri, options=options)
        return await self._transport.send(call, options.get("on_upload"))

    async def generate(
        self,
        prompt: str,
        *,
        model_id: str | None = None,
        images: Spec | None = None,
        allow_motion: bool | None = None,
        image: Path | str | None = None,
        mask: Path | str | None = None,
        video_image: Path | str | None = None,
        **options: Unpack[SubmissionOptions],
    ) -> Job:
        """Generate images, and a clip with `allow_motion`. `image`, `mask` and `video_image` are files to start from.

        `images` has fields of the resource's spec.images, in camelCase: `{"count": 4, "steps": 30, "seed": 7}`.
        """
        named = {"prompt": prompt, "modelId": model_id, "images": images, "allowMotion": allow_motion}
        files = {"image": image, "mask": mask, "video_image": video_image}
        return await self._transport.send(submissions.generation(named, files, options), options.get("on_upload"))

    # Jobs

    async def job(self, job_id: str, *, kind: Kind | None = None) -> Job:
        return await self._transport.send(calls.get_job(job_id, kind=kind))

    async def job_page(
        self, *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[JobFilters]
    ) -> JobPage:
        """A page of jobs, newest first."""
        return await self._transport.send(calls.list_jobs(filters, limit=limit, cursor=cursor))

    async def jobs(self, **filters: Unpack[JobFilters]) -> AsyncIterator[Job]:
        """All matching jobs, newest first, page by page."""
        cursor = None
        while True:
            page = await self.job_page(cursor=cursor, **filters)
            for job in page.jobs:
                yield job
            cursor = page.next_cursor
            if cursor is None:
                return

    async def change(
        self, job_id: str, *, priority: int | None = None, suspend: bool | None = None, kind: Kind | None = None
    ) -> Job:
        return await self._transport.send(calls.change_job(job_id, kind=kind, priority=priority, suspend=suspend))

    async def suspend(self, job_id: str, *, kind: Kind | None = None) -> Job:
        return await self._transport.send(calls.act_on_job(job_id, "suspend", kind=kind))

    async def resume(self, job_id: str, *, kind: Kind | None = None) -> Job:
        return await self._transport.send(calls.act_on_job(job_id, "resume", kind=kind))

    async def cancel(self, job_id: str, *, kind: Kind | None = None) -> Job | None:
        """Stop and delete an unfinished job. Raises `ConflictError` if it has ended.

        Returns the job, or None if it is gone already after a lost connection.
        """
        return await self._transport.send(calls.cancel_job(job_id, kind=kind))

    async def retry(self, job_id: str, *, kind: Kind | None = None) -> Job:
        """Submit a new job of the same spec, and return it."""
        return await self._transport.send(calls.retry_job(job_id, kind=kind))

    async def delete(self, job_id: str, *, files: bool = False, kind: Kind | None = None) -> None:
        """Delete a job, with its files in object storage if `files`."""
        await self._transport.send(calls.delete_job(job_id, kind=kind, files=files))

    async def wait(self, job_id: str, *, timeout_seconds: float | None = None, kind: Kind | None = None) -> Job:
        """The job once it has ended, well or not: see `Job.require_success`. Raises `WaitTimeoutError`."""
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            began = time.monotonic()
            left = LONG_POLL_SECONDS if end is None else max(0.0, min(LONG_POLL_SECONDS, end - began))
            job = await self._transport.send(calls.get_job(job_id, kind=kind, wait_seconds=left))
            if job.is_finished:
                return job
            if end is not None and timeout_seconds is not None and time.monotonic() >= end:
                raise WaitTimeoutError(job, timeout_seconds)
            if time.monotonic() - began < self._transport.retries.first_seconds:  # The gateway does not wait.
                await asyncio.sleep(self._transport.retries.first_seconds)

    async def follow(self, job_id: str, *, kind: Kind | None = None) -> AsyncIterator[Event]:
        """The job's events until it has ended, over lost connections. `JobChanged` is the last, or `JobDeleted`."""
        state = FollowedJob(job_id, Outage(self._transport.retries))
        for event in state.polled(await self.job(job_id, kind=kind)):
            yield event
        while not state.is_over:
            async with contextlib.aclosing(self._streamed(state, kind)) as events:
                async for event in events:
                    yield event
            for event in await self._polled(state, kind):
                yield event
            if not state.is_over:
                await asyncio.sleep(state.pause_seconds())

    async def _streamed(self, state: FollowedJob, kind: Kind | None) -> AsyncGenerator[Event]:
        """Until the stream breaks or ends."""
        if not state.has_stream:
            return
        call = calls.job_events(state.job_id, kind=kind, last_event_id=state.last_event_id)
        try:
            async with contextlib.aclosing(self._transport.events(call)) as stream:
                async for sent in stream:
                    for event in state.received(sent.event, sent.data, sent.id):
                        yield event
                    if state.is_over:
                        return
        except DarkroomError as failure:
            state.stream_failed(failure)

    async def _polled(self, state: FollowedJob, kind: Kind | None) -> list[Event]:
        """The job after the stream, unless the stream had its end."""
        if state.is_over:
            return []
        try:
            job = await self._transport.send_once(calls.get_job(state.job_id, kind=kind))
        except DarkroomError as failure:
            return list(state.poll_failed(failure))
        return list(state.polled(job))

    async def events(self, *, kind: Kind | None = None, model_id: str | None = None) -> AsyncIterator[Event]:
        """Changes of all jobs, without end, over lost connections."""
        state = WatchedJobs(Outage(self._transport.retries))
        while True:
            failure = None
            call = calls.all_events(kind=kind, model_id=model_id, last_event_id=state.last_event_id)
            try:
                async with contextlib.aclosing(self._transport.events(call)) as stream:
                    async for sent in stream:
                        for event in state.received(sent.event, sent.data, sent.id):
                            yield event
            except DarkroomError as error:
                failure = error
            for event in state.lost(failure, self.gateway):
                yield event
            await asyncio.sleep(state.pause_seconds())

    async def logs(
        self, job_id: str, *, follow: bool = False, attempt: int | None = None, kind: Kind | None = None
    ) -> AsyncIterator[str]:
        """The lines of a run's log so far; with `follow` until the run ends."""
        lines, outage = LogLines(), Outage(self._transport.retries)
        attempts = max((await self.job(job_id, kind=kind)).attempts, 1) if follow else 0
        while True:
            try:
                call = calls.job_logs(job_id, kind=kind, attempt=attempt, follow=follow)
                async with self._transport.stream(call) as response:
                    async for content in response.aiter_bytes():
                        outage.ended()
                        for line in lines.received(content):
                            yield line
                for line in lines.ended():
                    yield line
                if not follow or (await self.job(job_id, kind=kind)).has_ended_run(attempt or attempts):
                    return
            except DarkroomError as failure:
                list(outage.failed(failure))
            # The gateway stopped, or the connection broke.
            await asyncio.sleep(outage.pause_seconds())
            lines.restart()

    # Files

    async def download(self, job: Job | str, folder: Path | str = ".", *, kind: Kind | None = None) -> list[Path]:
        """Save the artifacts of a job. Existing files are kept: a file of the same name gets a number."""
        found = await self.job(job, kind=kind) if isinstance(job, str) else job
        return [await self.download_file(each, folder, job=found) for each in found.artifacts]

    async def download_file(self, file: FileLink, folder: Path | str = ".", *, job: Job | None = None) -> Path:
        """Save a file, and return its path. `job` is asked for a fresh link when the link has expired."""
        target = Path(folder) / safe_name(file.name)
        copy = existing_copy(target, file.sha256)
        if copy is not None:
            return copy
        try:
            return await self._transport.download(file, target)
        except DownloadError as failure:
            if job is None or not failure.is_expired:
                raise
            fresh = (await self.job(job.id, kind=job.kind)).artifact(file.name)
            if fresh is None:
                raise
            return await self._transport.download(fresh, target)

    # Models

    async def models(self) -> list[Model]:
        """The LoRAs, trained and imported, by name."""
        return list((await self._transport.send(calls.list_models(limit=1000))).models)

    async def model(self, model_id: str) -> ModelDetail:
        return await self._transport.send(calls.get_model(model_id))

    async def delete_model(self, model_id: str) -> None:
        await self._transport.send(calls.delete_model(model_id))

    async def import_model(
        self,
        source: Path | str,
        *,
        model_id: str,
        base_model: str | None = None,
        prompt: str | None = None,
        replace: bool = False,
        on_upload: OnUpload | None = None,
    ) -> ModelDetail:
        """Import a LoRA that was trained elsewhere: a safetensors file, or an `s3://` address."""
        call = submissions.import_model(
            source, model_id=model_id, base_model=base_model, prompt=prompt, replace=replace
        )
        return await self._transport.send(call, on_upload)
