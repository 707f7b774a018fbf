"""Models as OpenAI's clients list and retrieve them: the LoRAs, the base model, and other names of both. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from darkroom_gateway.model_names import BASE_MODEL
from darkroom_gateway.models.schemas import ModelAnswer, ModelDetail, OpenAIModel

UNKNOWN_TIME = 0
"""Of the base model: no source says when it was made, and OpenAI's clients need a number."""


def openai_models(models: Iterable[ModelAnswer], aliases: Mapping[str, str]) -> Iterator[OpenAIModel]:
    """All names for the parameter `model` of `/v1/images`."""
    for name in (BASE_MODEL, *aliases):
        yield OpenAIModel(id=name, created=UNKNOWN_TIME)
    for each in models:
        if each.model_id != BASE_MODEL and each.model_id not in aliases:
            yield OpenAIModel(id=each.model_id, created=int(each.created.timestamp()))


def base_model_detail(base_model: str) -> ModelDetail:
    """The base model, which has no files here."""
    return ModelDetail(
        model_id=BASE_MODEL,
        id=BASE_MODEL,
        in_training=False,
        prompt="",
        base_model=base_model,
        created=None,
        files=[],
        steps=[],
        samples=[],
    )
