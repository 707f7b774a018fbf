"""Query parameters of POST /v1/models."""

from pydantic import BaseModel, ConfigDict, Field

from darkroom_contract.names import BASE_MODEL_PATTERN, LORA_URI_PATTERN, MAX_BASE_MODEL_LENGTH, MODEL_ID_PATTERN

MAX_PROMPT_CHARACTERS = 1000


class ImportParameters(BaseModel):
    """What the LoRA is called, and what it is for."""

    model_config = ConfigDict(extra="forbid")

    model_id: str = Field(
        pattern=MODEL_ID_PATTERN,
        max_length=63,
        description="Name under which the LoRA is stored, for generations. Letters, digits, dot, underscore and "
        "hyphen.",
        examples=["film-grain"],
    )
    base_model: str | None = Field(
        None,
        pattern=BASE_MODEL_PATTERN,
        max_length=MAX_BASE_MODEL_LENGTH,
        description="SDXL model that it was made for: a hub repository (owner/name) or a folder of the model root. "
        "The cluster's default when left out.",
    )
    prompt: str | None = Field(
        None,
        max_length=MAX_PROMPT_CHARACTERS,
        description="Its trigger words, for people. Those of the file's metadata when left out.",
        examples=["film grain"],
    )
    uri: str | None = Field(
        None,
        pattern=LORA_URI_PATTERN,
        max_length=512,
        description="Import this file from object storage, instead of one in the body. It must be in a folder that "
        "jobs of this namespace may read.",
        examples=["s3://darkroom/loras/default/film-grain.safetensors"],
    )
    replace: bool = Field(
        False, description="Replace an existing model of this name, unless an unfinished job uses it."
    )
