"""`POST /v1/images/generations` and `POST /v1/images/edits`."""

import logging
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from darkroom_contract.jobs import Job
from darkroom_gateway.errors import GatewayError, UnavailableError, WaitExpiredError
from darkroom_gateway.http.problems import problem_response
from darkroom_gateway.jobs.dependencies import Submitter, SubmitterOfRequest
from darkroom_gateway.openai_images.descriptions import EDIT_BODY, GENERATION_BODY, RESPONSES
from darkroom_gateway.openai_images.edit_form import EditForm
from darkroom_gateway.openai_images.parameters import EditRequest, GenerationRequest, ImageRequest
from darkroom_gateway.openai_images.results import Form
from darkroom_gateway.openai_images.schemas import OpenAIImages
from darkroom_gateway.openai_images.services import ImageServices, ImageServicesOfApp
from darkroom_gateway.openai_images.stream import ImageStream, StreamForm
from darkroom_gateway.photos.upload_validator import unless_disconnected
from darkroom_gateway.v1.bodies import read_object
from darkroom_gateway.v1.serializers import address_of

log = logging.getLogger(__name__)

Asked = TypeVar("Asked", bound=ImageRequest)

router = APIRouter(tags=["images"])

GENERATIONS_PATH, EDITS_PATH = "/v1/images/generations", "/v1/images/edits"


@router.post(GENERATIONS_PATH, response_model=OpenAIImages, responses=RESPONSES, openapi_extra=GENERATION_BODY)
async def generate_images(request: Request, services: ImageServicesOfApp, submitter: SubmitterOfRequest) -> Response:
    """Generate pictures as with OpenAI's `client.images.generate`: waits for the job and answers with its pictures.

    A job that does not finish within the longest wait gets `504`, and continues. With `stream` the answer is a stream
    of previews and pictures.
    """
    asked = _validated(GenerationRequest, await read_object(request))
    job = await services.jobs.submit(asked, request, submitter, {})
    return await _answer(job, asked, "image_generation", request, services, submitter)


@router.post(EDITS_PATH, response_model=OpenAIImages, responses=RESPONSES, openapi_extra=EDIT_BODY)
async def edit_images(request: Request, services: ImageServicesOfApp, submitter: SubmitterOfRequest) -> Response:
    """Change a picture, or a part of it, as with OpenAI's `client.images.edit`.

    Without a mask the whole picture is changed. A mask is transparent where the prompt paints.
    """
    with services.gateway.upload_validator.slots.hold(), closing(EditForm()) as form:
        uploads, values = await form.read_edit(request)
        asked = _validated(EditRequest, values)
        job = await services.jobs.submit(asked, request, submitter, uploads)
    return await _answer(job, asked, "image_edit", request, services, submitter)


def _validated(model: type[Asked], values: Mapping[str, Any]) -> Asked:
    """Raises `RequestValidationError`."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(errors) from error


async def _answer(
    job: Job, asked: ImageRequest, kind: str, request: Request, services: ImageServices, submitter: Submitter
) -> Response:
    """The pictures, or a stream. An error that the job of the request is named with: a client that repeats the request
    without an Idempotency-Key would make another one."""
    headers = {"Location": address_of(job.kind, job.name, services.gateway.root_path)}
    try:
        if asked.stream:
            form = StreamForm(kind, asked.partial_images or 0, Form.of(asked), submitter.key_name)
            return ImageStream(services.events(job, form), partial(services.jobs.abandon, job, submitter), headers)
        finished, left_seconds = await services.jobs.finished(job, request, submitter)
        answering = services.results.response(finished, Form.of(asked), headers, submitter.key_name, left_seconds)
        return await unless_disconnected(request, answering)
    except GatewayError as error:
        log.info("%s %s: %s", request.method, request.url.path, error)
        response = problem_response(error)
        is_repeatable = submitter.idempotency_key is not None and isinstance(error, WaitExpiredError | UnavailableError)
        response.headers.update({**headers, "X-Should-Retry": str(is_repeatable).lower()})
        return response
