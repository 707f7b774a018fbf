"""The client of a gateway: `Darkroom`. `AsyncDarkroom` has the same methods."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from darkroom_client import calls, submissions
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
from darkroom_client.sync_transport import SyncTransport

LONG_POLL_SECONDS = 30.0


class Darkroom:
    """Trains, generates, and manages jobs and models over a gateway's REST API.

    Requests are retried where that is safe; each submission has an idempotency key. Every method raises a
    `DarkroomError`, see darkroom_client/errors.py. Use it as a context manager, or call `close()`.
    """

    def __init__(
        self, gateway: str | None = None, *, api_key: str | None = None, retries: Retries | None = None
    ) -> None:
        """Without arguments: the address and the key of the environment or of the configuration file."""
        self._transport = SyncTransport(load_settings(gateway, api_key), retries or Retries())

    @property
    def gateway(self) -> str:
        """Its address."""
        return self._transport.settings.gateway

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Submissions

    def train(
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
        return self._transport.send(call, options.get("on_upload"))

    def generate(
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
        return self._transport.send(submissions.generation(named, files, options), options.get("on_upload"))

    # Jobs

    def job(self, job_id: str, *, kind: Kind | None = None) -> Job:
        return self._transport.send(calls.get_job(job_id, kind=kind))

    def job_page(
        self, *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[JobFilters]
    ) -> JobPage:
        """A page of jobs, newest first."""
        return self._transport.send(calls.list_jobs(filters, limit=limit, cursor=cursor))

    def jobs(self, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """All matching jobs, newest first, page by page."""
        cursor = None
        while True:
            page = self.job_page(cursor=cursor, **filters)
            yield from page.jobs
            cursor = page.next_cursor
            if cursor is None:
                return

    def change(
        self, job_id: str, *, priority: int | None = None, suspend: bool | None = None, kind: Kind | None = None
    ) -> Job:
        return self._transport.send(calls.change_job(job_id, kind=kind, priority=priority, suspend=suspend))

    def suspend(self, job_id: str, *, kind: Kind | None = None) -> Job:
        return self._transport.send(calls.act_on_job(job_id, "suspend", kind=kind))

    def resume(self, job_id: str, *, kind: Kind | None = None) -> Job:
        return self._transport.send(calls.act_on_job(job_id, "resume", kind=kind))

    def cancel(self, job_id: str, *, kind: Kind | None = None) -> Job | None:
        """Stop and delete an unfinished job. Raises `ConflictError` if it has ended.

        Returns the job, or None if it is gone already after a lost connection.
        """
        return self._transport.send(calls.cancel_job(job_id, kind=kind))

    def retry(self, job_id: str, *, kind: Kind | None = None) -> Job:
        """Submit a new job of the same spec, and return it."""
        return self._transport.send(calls.retry_job(job_id, kind=kind))

    def delete(self, job_id: str, *, files: bool = False, kind: Kind | None = None) -> None:
        """Delete a job, with its files in object storage if `files`."""
        self._transport.send(calls.delete_job(job_id, kind=kind, files=files))

    def wait(self, job_id: str, *, timeout_seconds: float | None = None, kind: Kind | None = None) -> Job:
        """The job once it has ended, well or not: see `Job.require_success`. Raises `WaitTimeoutError`."""
        end = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            began = time.monotonic()
            left = LONG_POLL_SECONDS if end is None else max(0.0, min(LONG_POLL_SECONDS, end - began))
            job = self._transport.send(calls.get_job(job_id, kind=kind, wait_seconds=left))
            if job.is_finished:
                return job
            if end is not None and timeout_seconds is not None and time.monotonic() >= end:
                raise WaitTimeoutError(job, timeout_seconds)
            if time.monotonic() - began < self._transport.retries.first_seconds:  # The gateway does not wait.
                time.sleep(self._transport.retries.first_seconds)

    def follow(self, job_id: str, *, kind: Kind | None = None) -> Iterator[Event]:
        """The job's events until it has ended, over lost connections. `JobChanged` is the last, or `JobDeleted`."""
        state = FollowedJob(job_id, Outage(self._transport.retries))
        yield from state.polled(self.job(job_id, kind=kind))
        while not state.is_over:
            yield from self._streamed(state, kind)
            yield from self._polled(state, kind)
            if not state.is_over:
                time.sleep(state.pause_seconds())

    def _streamed(self, state: FollowedJob, kind: Kind | None) -> Iterator[Event]:
        """Until the stream breaks or ends."""
        if not state.has_stream:
            return
        call = calls.job_events(state.job_id, kind=kind, last_event_id=state.last_event_id)
        try:
            for sent in self._transport.events(call):
                yield from state.received(sent.event, sent.data, sent.id)
                if state.is_over:
                    return
        except DarkroomError as failure:
            state.stream_failed(failure)

    def _polled(self, state: FollowedJob, kind: Kind | None) -> list[Event]:
        """The job after the stream, unless the stream had its end."""
        if state.is_over:
            return []
        try:
            job = self._transport.send_once(calls.get_job(state.job_id, kind=kind))
        except DarkroomError as failure:
            return list(state.poll_failed(failure))
        return list(state.polled(job))

    def events(self, *, kind: Kind | None = None, model_id: str | None = None) -> Iterator[Event]:
        """Changes of all jobs, without end, over lost connections."""
        state = WatchedJobs(Outage(self._transport.retries))
        while True:
            failure = None
            call = calls.all_events(kind=kind, model_id=model_id, last_event_id=state.last_event_id)
            try:
                for sent in self._transport.events(call):
                    yield from state.received(sent.event, sent.data, sent.id)
            except DarkroomError as error:
                failure = error
            yield from state.lost(failure, self.gateway)
            time.sleep(state.pause_seconds())

    def logs(
        self, job_id: str, *, follow: bool = False, attempt: int | None = None, kind: Kind | None = None
    ) -> Iterator[str]:
        """The lines of a run's log so far; with `follow` until the run ends."""
        lines, outage = LogLines(), Outage(self._transport.retries)
        attempts = max(self.job(job_id, kind=kind).attempts, 1) if follow else 0
        while True:
            try:
                call = calls.job_logs(job_id, kind=kind, attempt=attempt, follow=follow)
                with self._transport.stream(call) as response:
                    for content in response.iter_bytes():
                        outage.ended()
                        yield from lines.received(content)
                yield from lines.ended()
                if not follow or self.job(job_id, kind=kind).has_ended_run(attempt or attempts):
                    return
            except DarkroomError as failure:
                list(outage.failed(failure))
            # The gateway stopped, or the connection broke.
            time.sleep(outage.pause_seconds())
            lines.restart()

    # Files

    def download(self, job: Job | str, folder: Path | str = ".", *, kind: Kind | None = None) -> list[Path]:
        """Save the artifacts of a job. Existing files are kept: a file of the same name gets a number."""
        found = self.job(job, kind=kind) if isinstance(job, str) else job
        return [self.download_file(each, folder, job=found) for each in found.artifacts]

    def download_file(self, file: FileLink, folder: Path | str = ".", *, job: Job | None = None) -> Path:
        """Save a file, and return its path. `job` is asked for a fresh link when the link has expired."""
        target = Path(folder) / safe_name(file.name)
        copy = existing_copy(target, file.sha256)
        if copy is not None:
            return copy
        try:
            return self._transport.download(file, target)
        except DownloadError as failure:
            if job is None or not failure.is_expired:
                raise
            fresh = self.job(job.id, kind=job.kind).artifact(file.name)
            if fresh is None:
                raise
            return self._transport.download(fresh, target)

    # Models

    def models(self) -> list[Model]:
        """The LoRAs, trained and imported, by name."""
        return list(self._transport.send(calls.list_models(limit=1000)).models)

    def model(self, model_id: str) -> ModelDetail:
        return self._transport.send(calls.get_model(model_id))

    def delete_model(self, model_id: str) -> None:
        self._transport.send(calls.delete_model(model_id))

    def import_model(
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
        return self._transport.send(call, on_upload)
