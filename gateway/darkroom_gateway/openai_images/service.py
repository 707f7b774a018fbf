"""Picture requests in the form of OpenAI's API: submits a job, waits for its end and answers with its pictures.

Called by openai_images/router.py. The job is the same as that of `POST /generate/...`: one request, one GenerateJob.
"""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect, Request

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import UnknownTaskError, WaitExpiredError
from darkroom_gateway.generation.image_sources import ImageRole
from darkroom_gateway.generation.service import GenerationService
from darkroom_gateway.http.shutdown import Shutdown
from darkroom_gateway.jobs.dependencies import Submitter
from darkroom_gateway.jobs.serializers import phase_of, queue_answer
from darkroom_gateway.jobs.service import JobService
from darkroom_gateway.model_names import lora_of
from darkroom_gateway.openai_images.abandoned_jobs import AbandonedJobs
from darkroom_gateway.openai_images.parameters import ImageRequest
from darkroom_gateway.openai_images.translation import generate_parameters, in_openai_names
from darkroom_gateway.photos.upload_form import Upload
from darkroom_gateway.photos.upload_validator import unless_disconnected
from darkroom_gateway.v1.waiting import JobWaits

MAX_RETRY_SECONDS = 60
"""Longest `Retry-After`. OpenAI's clients give up at more than two minutes."""


class ImageJobs:
    """The jobs of picture requests."""

    def __init__(
        self,
        generation: GenerationService,
        jobs: JobService,
        abandoned: AbandonedJobs,
        waits: JobWaits,
        shutdown: Shutdown,
        aliases: Mapping[str, str],
        max_wait_seconds: int,
    ) -> None:
        self._generation = generation
        self._jobs = jobs
        self._abandoned = abandoned
        self._waits = waits
        self._shutdown = shutdown
        self._aliases = aliases
        self._max_wait_seconds = max_wait_seconds

    async def submit(
        self, asked: ImageRequest, request: Request, submitter: Submitter, uploads: dict[ImageRole, Upload]
    ) -> Job:
        """Create the job, or return that of an earlier copy of the request.

        Raises what `GenerationService.submit` raises, with the names of OpenAI's parameters.
        """
        lora = lora_of(asked.model, self._aliases)
        parameters = generate_parameters(asked, lora, masked=ImageRole.MASK in uploads)
        with in_openai_names():
            return await self._generation.submit_received(parameters, uploads, request, submitter)

    async def finished(self, job: Job, request: Request, submitter: Submitter) -> tuple[Job, float]:
        """The job, once it has ended, and how many seconds of the longest wait are left.

        Raises `WaitExpiredError` after the longest wait and when the gateway stops, `UnknownTaskError` for a job that
        was deleted, and `ClientDisconnect`.
        """
        begun = time.monotonic()
        waiting = self._waits.until_ended(job.kind, job.name, job.uid, self._max_wait_seconds)
        try:
            await unless_disconnected(request, waiting)
        except ClientDisconnect:
            self.abandon(job, submitter)
            raise
        latest = self._jobs.refresh(job)
        if latest is None:
            raise UnknownTaskError(f"The job {job.name} was deleted before it had finished.")
        if not phase_of(latest).is_terminal:
            raise self._wait_expired(latest)
        return latest, begun + self._max_wait_seconds - time.monotonic()

    def abandon(self, job: Job, submitter: Submitter) -> None:
        """After the client has disconnected: delete a job that is still queued, with its files. Nobody would ask for
        its pictures, unless the request can be repeated with its Idempotency-Key, or somebody has suspended the job."""
        if submitter.idempotency_key is None:
            self._abandoned.add(job)

    async def close(self) -> None:
        await self._abandoned.close()

    def _wait_expired(self, job: Job) -> WaitExpiredError:
        queue = None if job.status.queue is None else queue_answer(job.status.queue, datetime.now(UTC))
        ahead = "" if queue is None or queue.position is None else f" behind {queue.position} others"
        reason = "this gateway is stopping" if self._shutdown.streams_end.is_set() else "the longest wait is over"
        seconds = None if queue is None else queue.estimated_start_seconds
        return WaitExpiredError(
            f"The job {job.name} is {phase_of(job)}{ahead}, and {reason}. It continues: /v1/jobs/{job.name} shows it, "
            "and its pictures once it has succeeded. With an Idempotency-Key a repeated request waits again.",
            min(MAX_RETRY_SECONDS, max(1, math.ceil(seconds or 1))),
        )
