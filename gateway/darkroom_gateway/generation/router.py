"""`POST /generate/sdxl`, `POST /generate/lora` and `GET /images`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from darkroom_contract.names import Kind
from darkroom_gateway.auth.middleware import KeyName
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import IdempotencyKey, TaskIdInQuery
from darkroom_gateway.jobs.parameters import GenerateParameters, LoraParameters
from darkroom_gateway.jobs.poll_route import CachedPollRoute, answer_with_files
from darkroom_gateway.jobs.schemas import ACCEPTED, ImagesAnswer, TaskAccepted
from darkroom_gateway.jobs.serializers import accepted
from darkroom_gateway.services import Services, ServicesOfApp

router = APIRouter(tags=["generate"], route_class=CachedPollRoute)


@router.post("/generate/sdxl", status_code=202, responses={**ACCEPTED, **responses(409, 422, 503)})
async def generate_sdxl(
    parameters: Annotated[GenerateParameters, Query()],
    response: Response,
    services: ServicesOfApp,
    key_name: KeyName,
    idempotency_key: IdempotencyKey = None,
) -> TaskAccepted:
    """Make pictures from a prompt with the base model; with `allow_motion` also a short video of the first."""
    return await _submit(parameters, response, services, idempotency_key, key_name)


@router.post("/generate/lora", status_code=202, responses={**ACCEPTED, **responses(404, 409, 422, 503)})
async def generate_lora(
    parameters: Annotated[LoraParameters, Query()],
    response: Response,
    services: ServicesOfApp,
    key_name: KeyName,
    idempotency_key: IdempotencyKey = None,
) -> TaskAccepted:
    """The same with a LoRA. A model that is still being trained will do: the job waits behind the training."""
    return await _submit(parameters, response, services, idempotency_key, key_name)


@router.get(
    "/images", response_model=ImagesAnswer, responses=responses(404, 422, 503), response_model_exclude_none=True
)
async def images(task_id: TaskIdInQuery, services: ServicesOfApp) -> Response:
    """How a generation goes; once it has succeeded, links to its pictures and its video."""
    return await answer_with_files(task_id, Kind.GENERATE, services)


async def _submit(
    parameters: GenerateParameters,
    response: Response,
    services: Services,
    idempotency_key: str | None,
    key_name: str | None,
) -> TaskAccepted:
    job = await services.generation.submit(parameters, idempotency_key, key_name)
    answer = accepted(job, services.root_path)
    response.headers["Location"] = answer.status_url
    return answer
