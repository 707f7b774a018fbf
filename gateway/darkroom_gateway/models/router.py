"""`/v1/models`: trained and imported LoRAs, and their deletion. The list and the deletion are at `/models` too, as in
earlier releases."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from darkroom_contract.names import MAX_MODEL_REFERENCE_LENGTH, MODEL_REFERENCE_PATTERN
from darkroom_gateway.errors import UnknownModelError
from darkroom_gateway.http.problems import responses
from darkroom_gateway.model_names import BASE_MODEL, as_mapping
from darkroom_gateway.models.openai_models import base_model_detail, openai_models
from darkroom_gateway.models.schemas import ModelDetail, ModelList
from darkroom_gateway.services import ServicesOfApp

router = APIRouter(tags=["models"])

PATH, OLD_PATH = "/v1/models", "/models"

ReferenceInPath = Annotated[
    str,
    Path(
        pattern=MODEL_REFERENCE_PATTERN,
        max_length=MAX_MODEL_REFERENCE_LENGTH,
        description="The name of a model, or of one of its saved steps.",
        examples=["my-dog", "my-dog@200", "my-dog@best"],
    ),
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of models.")]


@router.get(OLD_PATH, responses=responses(422, 503))
@router.get(PATH, responses=responses(422, 503), name="list_all_models")
async def list_models(services: ServicesOfApp, limit: Limit = 100) -> ModelList:
    """LoRAs, trained and imported, by name. Also readable by OpenAI's clients: `client.models.list()`."""
    models = await services.model_catalog.list(limit)
    settings = services.clients.settings
    references = (settings.default_base_model, *(each.base_model for each in models))
    return ModelList(
        models=models,
        base_models=await services.base_models.describe(references),
        data=list(openai_models(models, as_mapping(settings.model_aliases))),
    )


@router.get(PATH + "/{model_id}", responses=responses(404, 422, 503))
async def get_model(model_id: ReferenceInPath, services: ServicesOfApp) -> ModelDetail:
    """One model with its saved steps and samples, and fresh links to the LoRA in each form; or one of its saved steps,
    such as `my-dog@200`. `sdxl` is the base model, unless a LoRA has that name."""
    try:
        return await services.model_catalog.get(model_id)
    except UnknownModelError:
        if model_id != BASE_MODEL:
            raise
        return base_model_detail(services.clients.settings.default_base_model)


@router.delete(
    OLD_PATH + "/{model_id}", status_code=204, response_class=Response, responses=responses(404, 409, 422, 503)
)
@router.delete(
    PATH + "/{model_id}",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409, 422, 503),
    name="delete_one_model",
)
async def delete_model(model_id: ReferenceInPath, services: ServicesOfApp) -> Response:
    """Delete a model: its record, its saved steps, its imported file, and the LoRA files of every training of it. Or
    delete one of its saved steps, such as `my-dog@200`, with its files.

    Returns 409 while an unfinished job trains or uses the model, or continues from it. After a 503 the deletion may
    have started: that of a model is then completed in the background, and the request may be repeated.
    """
    await services.sweeper.delete_model(model_id)
    return Response(status_code=204)
