"""Response schemas of trained models."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field


class ModelAnswer(BaseModel):
    """A LoRA that can be used now: the public fields of the contract's `ModelRecord`."""

    model_config = ConfigDict(from_attributes=True)

    model_id: str
    prompt: str = Field(description="The prompt that it was trained with. Use its rare word.")
    base_model: str
    base_model_commit: str | None = Field(None, description="The hub commit of the base model, if known.")
    sha256: str = Field(description="SHA-256 of its weights.")
    created: datetime


class ModelList(BaseModel):
    """Trained LoRAs, by name."""

    models: list[ModelAnswer]
