"""The bodies of `POST /v1/images/generations` and `/v1/images/edits`: OpenAI's parameters, and some of Darkroom's.

Null counts as not sent, as in OpenAI's API. Parameters that the pictures would not follow are refused.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from darkroom_contract.specs.cache import Cache, CacheProfile
from darkroom_contract.specs.generate_job import GenerateJobSpec, Upscale
from darkroom_contract.specs.images import MAX_IMAGES, Images, Scheduler
from darkroom_contract.specs.job import JobSpec
from darkroom_contract.specs.lora import MAX_LORAS
from darkroom_contract.specs.start_image import ImageFit, Mask, StartImage
from darkroom_gateway.generation.loras import LORA_PATTERN, MAX_LORA_LENGTH
from darkroom_gateway.jobs.contract_fields import parameter
from darkroom_gateway.model_names import BASE_MODEL

MAX_MODEL_CHARACTERS = 100
MAX_PARTIAL_IMAGES = 3
MAX_USER_CHARACTERS = 512
SIZE_PATTERN = "^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$"


def _unsupported(advice: str) -> Any:
    """A parameter of OpenAI's that is refused."""

    def refuse(given: object) -> object:
        if given is not None:
            raise PydanticCustomError("unsupported", "Leave it out: {advice}", {"advice": advice})
        return given

    field: Any = Field(None, description=f"Not supported: {advice}.")
    field.metadata = [BeforeValidator(refuse)]
    return field


class ImageRequest(BaseModel):
    """What both endpoints take."""

    model_config = ConfigDict(extra="forbid", title="ImageRequest")

    prompt: str = parameter(GenerateJobSpec, "prompt", "a photo of sks dog on the moon")
    model: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_MODEL_CHARACTERS,
        description=f"A LoRA, optionally with a saved step, such as my-dog@200; or {BASE_MODEL}, the base model, which "
        "is the default.",
        examples=["my-dog"],
    )
    n: int | None = Field(None, ge=1, le=MAX_IMAGES, description="Number of pictures. 1 when left out.")
    size: str | None = Field(
        None,
        pattern=SIZE_PATTERN,
        description="auto (the model's own size, or the aspect ratio of the picture), or WIDTHxHEIGHT: 64 to 2048 "
        "pixels, in steps of 8.",
        examples=["1024x1024"],
    )
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = Field(
        None, description="Sets steps and cache_profile, unless they are sent. auto: Darkroom's defaults."
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="b64_json: the picture in base64. url: a link that expires. b64_json when left out."
    )
    output_format: Literal["png", "jpeg", "webp"] | None = Field(None, description="File format. png when left out.")
    output_compression: int | None = Field(
        None, ge=0, le=100, description="Quality of jpeg and webp: higher is better and larger. 90 when left out."
    )
    background: Literal["auto", "opaque"] | None = Field(None, description="All pictures are opaque.")
    moderation: Literal["auto", "low"] | None = Field(None, description="Without effect: nothing is moderated.")
    user: str | None = Field(None, max_length=MAX_USER_CHARACTERS, description="Without effect, and not stored.")
    safety_identifier: str | None = Field(
        None, max_length=MAX_USER_CHARACTERS, description="Without effect, and not stored."
    )
    stream: bool | None = Field(None, description="Answer with server-sent events.")
    partial_images: int | None = Field(
        None,
        ge=0,
        le=MAX_PARTIAL_IMAGES,
        description="Previews of each picture in the stream, at most. Needs stream. None when left out.",
    )
    style: None = _unsupported("describe the style in the prompt")
    complexity: None = _unsupported("nothing plans the picture, and steps and quality set the effort")
    frame_count: None = _unsupported("submit a GenerateJob with allowMotion for a clip")
    frame_duration_ms: None = _unsupported("submit a GenerateJob with allowMotion for a clip")
    svg: None = _unsupported("there are no vector pictures")
    negative_prompt: str | None = parameter(GenerateJobSpec, "negative_prompt", optional=True)
    seed: int | None = parameter(Images, "seed", optional=True)
    steps: int | None = parameter(Images, "steps", optional=True)
    guidance_scale: float | None = parameter(Images, "guidance_scale", optional=True)
    scheduler: Scheduler | None = parameter(Images, "scheduler")
    clip_skip: int | None = parameter(Images, "clip_skip", optional=True)
    cache_profile: CacheProfile | None = parameter(Cache, "profile", optional=True)
    lora_scale: float | None = parameter(GenerateJobSpec, "lora_scale", optional=True)
    lora: list[Annotated[str, Field(pattern=LORA_PATTERN, max_length=MAX_LORA_LENGTH)]] | None = Field(
        None,
        max_length=MAX_LORAS,
        description="Several LoRAs at once, each with its scale, such as my-dog:0.8. Not with a LoRA in model.",
    )
    upscale_factor: float | None = parameter(Upscale, "factor", optional=True)
    priority: int | None = parameter(JobSpec, "priority", optional=True)


class GenerationRequest(ImageRequest):
    """A generation."""

    model_config = ConfigDict(extra="forbid", title="GenerationRequest")


class EditRequest(ImageRequest):
    """An edit. The pictures are files of the form."""

    model_config = ConfigDict(extra="forbid", title="EditRequest")

    input_fidelity: Literal["high", "low"] | None = Field(
        None, description="Sets strength, unless it is sent: high keeps more of the picture. low when left out."
    )
    markup: None = _unsupported("draw on the picture itself, or send a mask")
    strength: float | None = parameter(StartImage, "strength", optional=True)
    image_fit: ImageFit | None = parameter(StartImage, "fit", optional=True)
    mask_blur: int | None = parameter(Mask, "blur", optional=True)
