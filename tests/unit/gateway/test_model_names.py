"""Names of models for `/v1/images`: the base model, LoRAs and aliases."""

import pytest

from darkroom_gateway.errors import SettingsError
from darkroom_gateway.model_names import as_mapping, lora_of
from darkroom_gateway.settings import MODEL_ALIASES, Settings

ALIASES = {"dall-e-3": "sdxl", "gpt-image-1": "my-dog@best"}


@pytest.mark.parametrize(
    ("model", "lora"),
    [(None, None), ("sdxl", None), ("dall-e-3", None), ("gpt-image-1", "my-dog@best"), ("my-dog@200", "my-dog@200")],
)
def test_model_means_a_lora_or_the_base_model(model: str | None, lora: str | None) -> None:
    assert lora_of(model, ALIASES) == lora


def test_aliases_are_read_from_the_environment() -> None:
    settings = Settings.from_environment(
        {MODEL_ALIASES: "dall-e-3=sdxl, gpt-image-1=my-dog@best", "DARKROOM_S3_BUCKET": "darkroom"}
    )

    assert as_mapping(settings.model_aliases) == ALIASES


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dall-e-3", "names no model"),
        ("=sdxl", "is no alias"),
        ("a=../x", "names no model"),
        ("sdxl=my-dog", "the name of the base model"),
        ("a=b a=c", "an alias of two models"),
    ],
)
def test_unusable_aliases_are_refused(given: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"{MODEL_ALIASES}.*{message}"):
        Settings.from_environment({MODEL_ALIASES: given, "DARKROOM_S3_BUCKET": "darkroom"})
