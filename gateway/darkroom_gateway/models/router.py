"""`/models`: the LoRAs that can be used, and their deletion."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from darkroom_contract.names import MODEL_ID_PATTERN
from darkroom_gateway.http.problems import responses
from darkroom_gateway.jobs.schemas import ModelList
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["models"])

ModelIdInPath = Annotated[
    str, Path(pattern=MODEL_ID_PATTERN, max_length=63, description="The name of a model.", examples=["my-dog"])
]


@router.get("/models", responses=responses(422, 503))
async def list_models(
    services: ServicesOfApp, limit: Annotated[int, Query(ge=1, le=1000, description="Models on a page, at most.")] = 100
) -> ModelList:
    """LoRAs that can be used now, by name."""
    return ModelList(models=await services.model_catalog.list(limit))


@router.delete("/models/{model_id}", status_code=204, response_class=Response, responses=responses(404, 409, 422, 503))
async def delete_model(model_id: ModelIdInPath, services: ServicesOfApp) -> Response:
    """Delete a model: its record, and the LoRA files of every training that made it.

    Refused with 409 while a job that has not ended makes or needs it. After a 503 the deletion may have begun: it is
    completed in any case, and may be asked for again.
    """
    await services.sweeper.delete_model(model_id)
    return Response(status_code=204)
