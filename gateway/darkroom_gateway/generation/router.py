"""`POST /generate/sdxl`, `POST /generate/lora` and `GET /images`."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from darkroom_contract.names import Kind
from darkroom_gateway.generation.parameters import GenerateParameters, LoraParameters
from darkroom_gateway.generation.schemas import ImagesAnswer
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import SubmitterOfRequest, TaskIdInQuery, accept
from darkroom_gateway.jobs.poll_route import CachedPollRoute, answer_with_files
from darkroom_gateway.jobs.schemas import ACCEPTED, TaskAccepted
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["generate"], route_class=CachedPollRoute)


@router.post("/generate/sdxl", status_code=202, responses={**ACCEPTED, **responses(409, 422, 503)})
async def generate_sdxl(
    parameters: Annotated[GenerateParameters, Query()],
    response: Response,
    services: ServicesOfApp,
    submitter: SubmitterOfRequest,
) -> TaskAccepted:
    """Generate pictures from a prompt with the base model; with `allow_motion` also a short video of the first."""
    job = await services.generation.submit(parameters, submitter)
    return accept(job, response, services.root_path)


@router.post("/generate/lora", status_code=202, responses={**ACCEPTED, **responses(404, 409, 422, 503)})
async def generate_lora(
    parameters: Annotated[LoraParameters, Query()],
    response: Response,
    services: ServicesOfApp,
    submitter: SubmitterOfRequest,
) -> TaskAccepted:
    """Generate pictures with a LoRA. If the model is still being trained, the job waits behind the training."""
    job = await services.generation.submit(parameters, submitter)
    return accept(job, response, services.root_path)


@router.get(
    "/images", response_model=ImagesAnswer, responses=responses(404, 422, 503), response_model_exclude_none=True
)
async def images(task_id: TaskIdInQuery, services: ServicesOfApp) -> Response:
    """The status of a generation; once it has succeeded, with links to its pictures and its video."""
    return await answer_with_files(task_id, Kind.GENERATE, services)
