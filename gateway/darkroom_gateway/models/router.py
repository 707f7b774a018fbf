"""`/models`: trained LoRAs, and their deletion."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from darkroom_contract.names import MODEL_ID_PATTERN
from darkroom_gateway.http.problems import responses
from darkroom_gateway.models.schemas import ModelList
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["models"])

ModelIdInPath = Annotated[
    str, Path(pattern=MODEL_ID_PATTERN, max_length=63, description="The name of a model.", examples=["my-dog"])
]


@router.get("/models", responses=responses(422, 503))
async def list_models(
    services: ServicesOfApp, limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of models.")] = 100
) -> ModelList:
    """Trained LoRAs, by name."""
    return ModelList(models=await services.model_catalog.list(limit))


@router.delete("/models/{model_id}", status_code=204, response_class=Response, responses=responses(404, 409, 422, 503))
async def delete_model(model_id: ModelIdInPath, services: ServicesOfApp) -> Response:
    """Delete a model: its record, and the LoRA files of every training of it.

    Returns 409 while an unfinished job trains or uses it. After a 503 the deletion may have started; it is then
    completed in the background, and the request may be repeated.
    """
    await services.sweeper.delete_model(model_id)
    return Response(status_code=204)
