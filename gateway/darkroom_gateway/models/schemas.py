"""Response schemas of models."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

OWNER = "darkroom"


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


class OpenAIModel(BaseModel):
    """A name for the parameter `model` of `/v1/images`, as OpenAI's clients list them."""

    id: str = Field(examples=["my-dog"])
    object: Literal["model"] = "model"
    created: int = Field(description="Seconds of Unix time; 0 where it is not known, as for the base model.")
    owned_by: str = OWNER


class BaseModelAnswer(BaseModel):
    """A base model."""

    reference: str = Field(description="As `base_model` of a model has it.")
    native_px: int | None = Field(
        description="Side of its native pictures in pixels: 1024 for SDXL. Null where the gateway can't read it."
    )


class ModelList(BaseModel):
    """LoRAs, trained and imported, by name."""

    models: list[ModelAnswer]
    base_models: list[BaseModelAnswer] = Field(
        description="The base model of jobs that name none, then the others of `models`."
    )
    object: Literal["list"] = "list"
    data: list[OpenAIModel] = Field(
        description="For OpenAI's clients: the base model, other names of models, and the LoRAs of `models`."
    )


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
    sample: "ModelSample | None" = Field(None, description="The first picture that the training drew at this step.")


class ModelSample(BaseModel):
    """A picture that the training drew with the model. Ask again for a fresh link."""

    name: str
    step: int | None = Field(None, description="The training step; absent for pictures of the finished model.")
    url: str = Field(description="Downloads the file without credentials until `expires`.")
    expires: datetime
    bytes: int


class ModelDetail(BaseModel):
    """One model, or one of its saved steps, with its files and samples."""

    model_id: str
    id: str = Field(
        description="Its name for generations: the same as `model_id`, or a saved step.",
        examples=["my-dog", "my-dog@200"],
    )
    object: Literal["model"] = "model"
    owned_by: str = OWNER
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
    created: datetime | None = Field(None, description="Absent for the base model.")
    files: list[ModelFile] = Field(description="The LoRA in all its forms.")
    steps: list[ModelStep] = Field(
        description="Saved steps, in their order; `best` is the last. Empty for a saved step."
    )
    samples: list[ModelSample] = Field(
        description="Pictures that its training drew: those during the training by step, then those of the finished "
        "model. The last 100."
    )


class ModelUri(BaseModel):
    """The JSON body of an import from object storage."""

    model_config = ConfigDict(extra="forbid")

    uri: str
