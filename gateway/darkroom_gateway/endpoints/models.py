"""`GET /models`."""

from typing import Annotated

from fastapi import APIRouter, Query

from darkroom_gateway.answers import ModelList
from darkroom_gateway.problems import responses
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["models"])


@router.get("/models", responses=responses(422, 503))
async def list_models(
    services: ServicesOfApp, limit: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 100
) -> ModelList:
    """LoRAs that can be used now, by name."""
    return ModelList(models=await services.known_models.list(limit))
