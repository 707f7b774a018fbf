"""The pictures of a finished job, as OpenAI's clients read them. Called by openai_images/service.py and stream.py."""

import base64
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import FAILURES
from darkroom_contract.status import ConditionStatus, ConditionType
from darkroom_contract.storage.keys import run_prefix
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import upload_seconds
from darkroom_gateway.errors import JobFailedError, UnknownFileError
from darkroom_gateway.generation.serializers import images_answer
from darkroom_gateway.jobs.schemas import File
from darkroom_gateway.openai_images.parameters import ImageRequest
from darkroom_gateway.openai_images.schemas import OpenAIImage, OpenAIImages, Quality
from darkroom_gateway.openai_images.translation import quality_of
from darkroom_gateway.storage.client import ObjectStorage

_SEED = re.compile(r"-seed-([0-9]+)\.[a-z]+$")
_OF_THE_REQUEST = frozenset(
    {
        Reason.IMAGE_INVALID,
        Reason.IMAGE_NOT_ALLOWED,
        Reason.IMAGE_NOT_FOUND,
        Reason.MODEL_NOT_FOUND,
        Reason.MODEL_INCOMPATIBLE,
        Reason.BASE_MODEL_NOT_FOUND,
        Reason.PROMPT_TOO_LONG,
        Reason.INVALID_SPEC,
    }
)
"""Failures that another request avoids, and the same one does not."""


@dataclass(frozen=True)
class Form:
    """How a request wants its pictures, and what it says about them."""

    links: bool
    format: Literal["png", "jpeg", "webp"]
    quality: Quality
    size: str | None

    @classmethod
    def of(cls, asked: ImageRequest) -> "Form":
        return cls(
            links=asked.response_format == "url",
            format=asked.output_format or "png",
            quality=cast(Quality, quality_of(asked.quality)),
            size=None if asked.size == "auto" else asked.size,
        )


class Results:
    """Reads the results of one namespace's jobs."""

    def __init__(self, storage: ObjectStorage, backend: Backend, root_path: str) -> None:
        self._storage = storage
        self._backend = backend
        self._root_path = root_path

    async def answer(self, job: Job, form: Form) -> OpenAIImages:
        """Raises what `pictures` raises."""
        return OpenAIImages(
            created=completed(job),
            job_id=job.name,
            output_format=form.format,
            quality=form.quality,
            size=form.size,
            data=await self.pictures(job, links=form.links),
        )

    async def pictures(self, job: Job, *, links: bool) -> list[OpenAIImage]:
        """In the order of their seeds.

        Raises `JobFailedError` unless the job has succeeded, `StorageUnavailableError`, or `UnknownFileError` for a
        file that was deleted.
        """
        require_success(job)
        files = images_answer(job, self._storage, self._root_path).images
        return [await self._picture(job, each, links=links) for each in files]

    async def _picture(self, job: Job, file: File, *, links: bool) -> OpenAIImage:
        found = _SEED.search(file.name)
        seed = None if found is None else int(found[1])
        if links:
            return OpenAIImage(url=file.url, seed=seed)
        content = await self._backend.call(
            upload_seconds(file.bytes), self._storage.read, run_prefix(job.uid) + file.name
        )
        if content is None:
            raise UnknownFileError(f"The file {file.name} of the job {job.name} was deleted.")
        return OpenAIImage(b64_json=base64.b64encode(content).decode(), seed=seed)


def completed(job: Job) -> int:
    """When the job ended, in seconds of Unix time."""
    return int((job.status.completion_time or datetime.now(UTC)).timestamp())


def require_success(job: Job) -> None:
    """Raises `JobFailedError` for a job that has failed."""
    for condition in job.status.conditions:
        if condition.type == ConditionType.FAILED and condition.status is ConditionStatus.TRUE:
            is_known = condition.reason in set(Reason)
            advice = FAILURES[Reason(condition.reason)].action if is_known else ""
            status = 400 if is_known and Reason(condition.reason) in _OF_THE_REQUEST else 500
            raise JobFailedError(
                status, f"The job {job.name} failed ({condition.reason}): {condition.message} {advice}".rstrip()
            )
