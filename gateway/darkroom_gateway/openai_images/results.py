"""The pictures of a finished job, as OpenAI's clients read them. Called by openai_images/router.py and stream.py."""

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from anyio import to_thread
from starlette.responses import Response

from darkroom_contract.jobs import Job
from darkroom_contract.outcome import Reason
from darkroom_contract.reasons import FAILURES
from darkroom_contract.status import ConditionStatus, ConditionType
from darkroom_contract.storage.keys import run_prefix
from darkroom_gateway.backends.calls import Backend
from darkroom_gateway.backends.deadlines import upload_seconds
from darkroom_gateway.errors import AnswerTooLargeError, FieldError, JobFailedError, UnknownFileError
from darkroom_gateway.generation.serializers import images_answer
from darkroom_gateway.jobs.schemas import File
from darkroom_gateway.openai_images.held_answers import HeldAnswers, HeldResponse, in_blocks
from darkroom_gateway.openai_images.parameters import ImageRequest
from darkroom_gateway.openai_images.schemas import OpenAIImage, OpenAIImages, Quality
from darkroom_gateway.openai_images.translation import quality_of
from darkroom_gateway.storage.client import ObjectStorage

MIB = 1024**2
MAX_ANSWER_BYTES = 64 * MIB
"""Total size of the pictures of an answer in base64. It takes some four times as much memory while it is built."""
CONCURRENT_ANSWERS = 2
"""Number of answers that are read and encoded at the same time, by one gateway."""

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
        self._turns = asyncio.Semaphore(CONCURRENT_ANSWERS)
        self._held = HeldAnswers()

    async def response(
        self, job: Job, form: Form, headers: dict[str, str], client: str | None, left_seconds: float
    ) -> Response:
        """The answer as JSON. `client` is the name of the API key; `left_seconds` is what is left of the wait of the
        request. Raises what `pictures` raises, and `AnswerTooLargeError`."""
        files = self._files(job)
        if form.links:
            links = [OpenAIImage(url=each.url, seed=_seed(each)) for each in files]
            return Response(_json(job, form, links), media_type="application/json", headers=headers)
        _require_small(job, files)
        held = await self._held.hold(sum(each.bytes for each in files), job.name, client, left_seconds)
        try:
            async with self._turns:
                pictures = [await self._picture(job, each) for each in files]
                blocks = await to_thread.run_sync(_json_blocks, job, form, pictures)
        except BaseException:
            self._held.release(held)
            raise
        return HeldResponse(blocks, headers, self._held, held)

    async def pictures(self, job: Job, client: str | None) -> AsyncGenerator[OpenAIImage, None]:
        """In base64, in the order of their seeds.

        Raises `JobFailedError` unless the job has succeeded, `StorageUnavailableError`, `TooManyAnswersError`, or
        `UnknownFileError` for a file that was deleted.
        """
        for each in self._files(job):
            async with self._held.holding(each.bytes, job.name, client):
                yield await self._picture_in_turn(job, each)

    async def _picture_in_turn(self, job: Job, file: File) -> OpenAIImage:
        async with self._turns:
            return await self._picture(job, file)

    def _files(self, job: Job) -> list[File]:
        require_success(job)
        return images_answer(job, self._storage, self._root_path).images

    async def _picture(self, job: Job, file: File) -> OpenAIImage:
        content = await self._backend.call(
            upload_seconds(file.bytes), self._storage.read, run_prefix(job.uid) + file.name
        )
        if content is None:
            raise UnknownFileError(f"The file {file.name} of the job {job.name} was deleted.")
        return OpenAIImage(b64_json=await to_thread.run_sync(_base64, content), seed=_seed(file))


def _json_blocks(job: Job, form: Form, pictures: list[OpenAIImage]) -> list[bytes]:
    return list(in_blocks(_json(job, form, pictures)))


def _json(job: Job, form: Form, pictures: list[OpenAIImage]) -> bytes:
    answer = OpenAIImages(
        created=completed(job),
        job_id=job.name,
        output_format=form.format,
        quality=form.quality,
        size=form.size,
        data=pictures,
    )
    return answer.model_dump_json(exclude_none=True).encode()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _seed(file: File) -> int | None:
    found = _SEED.search(file.name)
    return None if found is None else int(found[1])


def _require_small(job: Job, files: Sequence[File]) -> None:
    """Raises `AnswerTooLargeError`."""
    size_bytes = sum(each.bytes for each in files)
    if size_bytes > MAX_ANSWER_BYTES:
        message = (
            f"Use url: the pictures of the job {job.name} have {size_bytes / MIB:.0f} MiB, and an answer in base64 has "
            f"at most {MAX_ANSWER_BYTES // MIB} MiB. /v1/jobs/{job.name} has links to them."
        )
        field = FieldError("response_format", message, "b64_json")
        raise AnswerTooLargeError(f"response_format: {message}", (field,))


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
