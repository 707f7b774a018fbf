"""Response schemas of models."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class ModelAnswer(BaseModel):
    """A LoRA that can be used now: the public fields of the contract's `ModelRecord`."""

    model_config = ConfigDict(from_attributes=True)

    model_id: str
    prompt: str = Field(description="The prompt that it was trained with. Use its rare word.")
    base_model: str
    base_model_commit: str | None = Field(None, description="The hub commit of the base model, if known.")
    sha256: str = Field(description="SHA-256 of its weights.")
    source: str | None = Field(None, description="The file or URI that it was imported from. Absent for a training.")
    created: datetime


class ModelList(BaseModel):
    """LoRAs, trained and imported, by name."""

    models: list[ModelAnswer]


class FileForm(StrEnum):
    """Naming schemes of the tensors in a LoRA file."""

    DIFFUSERS = "Diffusers"
    KOHYA = "Kohya"
    IMPORTED = "Imported"
    """As it was imported."""


class ModelFile(BaseModel):
    """A LoRA file, with a presigned link. Ask again for a fresh link."""

    name: str
    form: FileForm = Field(
        description="Diffusers: for diffusers and peft. Kohya: for ComfyUI, A1111, Forge and InvokeAI. Imported: the "
        "file as it was imported."
    )
    url: str = Field(description="Downloads the file without credentials until `expires`.")
    expires: datetime
    bytes: int


class ModelStep(BaseModel):
    """The LoRA of a training step."""

    reference: str = Field(description="Its name for generations.", examples=["my-dog@200"])
    step: int | None = Field(None, description="The training step.")
    held_out_loss: float | None = Field(None, description="Loss on the photos that were held out, if there were any.")
    sha256: str = Field(description="SHA-256 of its weights.")
    created: datetime
    files: list[ModelFile]


class ModelDetail(BaseModel):
    """One model, with its files and its saved steps."""

    model_id: str
    in_training: bool = Field(description="An unfinished training of this model exists. It will replace the model.")
    prompt: str = Field(description="The prompt that it was trained with, or the trigger words of the import.")
    base_model: str
    base_model_commit: str | None = Field(None, description="The hub commit of the base model, if known.")
    sha256: str | None = Field(
        None, description="SHA-256 of its weights. Absent while only steps of its first training are saved."
    )
    source: str | None = Field(None, description="The file or URI that it was imported from. Absent for a training.")
    step: int | None = Field(None, description="The number of training steps, if it is recorded.")
    held_out_loss: float | None = Field(None, description="Loss on the photos that were held out, if there were any.")
    created: datetime
    files: list[ModelFile] = Field(description="The LoRA in all its forms.")
    steps: list[ModelStep] = Field(description="Saved steps, in their order; `best` is the last.")


class ModelUri(BaseModel):
    """The JSON body of an import from object storage."""

    model_config = ConfigDict(extra="forbid")

    uri: str
