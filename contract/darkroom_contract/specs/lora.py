"""References to LoRAs, for generations that use them and trainings that continue from one."""

from pydantic import Field

from darkroom_contract.names import LORA_URI_PATTERN, MAX_MODEL_REFERENCE_LENGTH, MODEL_REFERENCE_PATTERN
from darkroom_contract.schema import Schema

MAX_LORAS = 5
MAX_LORA_SCALE = 2.0


class LoraSource(Schema):
    """A LoRA: a model of this namespace, or a file in object storage. Exactly one of the two is set."""

    model_id: str | None = Field(
        None,
        pattern=MODEL_REFERENCE_PATTERN,
        max_length=MAX_MODEL_REFERENCE_LENGTH,
        description="A LoRA of this namespace: the modelId of a TrainJob or of an imported model, optionally with a "
        "saved step, such as my-dog@200, or my-dog@best.",
    )
    uri: str | None = Field(
        None,
        pattern=LORA_URI_PATTERN,
        max_length=512,
        description="A LoRA file made elsewhere: s3://bucket/loras/<namespace>/name.safetensors in Darkroom's own "
        "bucket, or a file in a folder that the deployment allows. Kohya, diffusers and peft forms are read; a file "
        "of which a part would be dropped is refused.",
    )

    @property
    def is_ambiguous(self) -> bool:
        return (self.model_id is None) == (self.uri is None)

    @property
    def name(self) -> str:
        """How messages and metadata call it."""
        return self.model_id or self.uri or ""


class LoraUse(LoraSource):
    """A LoRA and its strength in a generation."""

    scale: float = Field(
        1.0,
        ge=-MAX_LORA_SCALE,
        le=MAX_LORA_SCALE,
        description="Strength of this LoRA. 0 disables it, above 1 exaggerates it, below 0 does the opposite.",
    )
