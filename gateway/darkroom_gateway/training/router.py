"""`POST /train` and `GET /result`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from darkroom_contract.names import Kind
from darkroom_contract.photos import FORMAT_NAMES, MAX_PHOTOS, MIN_PHOTOS
from darkroom_gateway.auth.middleware import KeyName
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.dependencies import IdempotencyKey, TaskIdInQuery
from darkroom_gateway.jobs.parameters import TrainParameters
from darkroom_gateway.jobs.poll_route import CachedPollRoute, answer_with_files
from darkroom_gateway.jobs.schemas import ACCEPTED, TaskAccepted, TrainingAnswer
from darkroom_gateway.jobs.serializers import accepted
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["train"], route_class=CachedPollRoute)

PHOTOS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "files": {
                            "type": "array",
                            "minItems": MIN_PHOTOS,
                            "maxItems": MAX_PHOTOS,
                            "items": {"type": "string", "format": "binary"},
                            "description": f"Photos of the subject: {FORMAT_NAMES}. Any other field name does too; "
                            "text fields are refused.",
                        }
                    },
                }
            }
        },
    }
}
"""Written by hand: the endpoint reads the form itself, to bound it."""


@router.post(
    "/train", status_code=202, responses={**ACCEPTED, **responses(409, 413, 422, 503)}, openapi_extra=PHOTOS_BODY
)
async def train(
    parameters: Annotated[TrainParameters, Query()],
    request: Request,
    response: Response,
    services: ServicesOfApp,
    key_name: KeyName,
    idempotency_key: IdempotencyKey = None,
) -> TaskAccepted:
    """Learn a subject from photos: an SDXL DreamBooth LoRA, kept under `model_id`."""
    job = await services.training.submit(parameters, request, idempotency_key, key_name)
    answer = accepted(job, services.root_path)
    response.headers["Location"] = answer.status_url
    return answer


@router.get(
    "/result", response_model=TrainingAnswer, responses=responses(404, 422, 503), response_model_exclude_none=True
)
async def result(task_id: TaskIdInQuery, services: ServicesOfApp) -> Response:
    """How a training goes; once it has succeeded, links to its weights."""
    return await answer_with_files(task_id, Kind.TRAIN, services)
