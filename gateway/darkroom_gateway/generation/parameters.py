"""Query parameters of POST /generate/*, and the `GenerateJobSpec` that they make."""

from typing import Annotated

from pydantic import Field

from darkroom_contract.schema import Schema
from darkroom_contract.specs.cache import Cache, CacheProfile
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.images import Images, Scheduler
from darkroom_contract.specs.lora import MAX_LORAS
from darkroom_contract.specs.video import Video, VideoFit
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.loras import LORA_PATTERN, MAX_LORA_LENGTH, read_loras
from darkroom_gateway.jobs.contract_fields import parameter
from darkroom_gateway.jobs.parameters import JobParameters, take


class GenerateParameters(JobParameters):
    prompt: str = parameter(GenerateJobSpec, "prompt", "a photo of a dog on the moon")
    allow_motion: bool = parameter(GenerateJobSpec, "allow_motion")
    negative_prompt: str = parameter(GenerateJobSpec, "negative_prompt")
    base_model: str | None = parameter(GenerateJobSpec, "base_model")
    count: int = parameter(Images, "count")
    width: int | None = parameter(Images, "width")
    height: int | None = parameter(Images, "height")
    steps: int = parameter(Images, "steps")
    guidance_scale: float = parameter(Images, "guidance_scale")
    seed: int = parameter(Images, "seed")
    scheduler: Scheduler | None = parameter(Images, "scheduler")
    cache_profile: CacheProfile = parameter(Cache, "profile")
    cache_interval: int | None = parameter(Cache, "interval")
    cache_branch: int = parameter(Cache, "branch")
    frames: int | None = parameter(Video, "frames")
    fps: int = parameter(Video, "fps")
    video_steps: int = parameter(Video, "steps")
    motion_bucket_id: int = parameter(Video, "motion_bucket_id")
    noise_aug_strength: float = parameter(Video, "noise_aug_strength")
    video_fit: VideoFit = parameter(Video, "fit")
    decode_chunk_size: int | None = parameter(Video, "decode_chunk_size")
    min_guidance_scale: float = parameter(Video, "min_guidance_scale")
    max_guidance_scale: float = parameter(Video, "max_guidance_scale")
    video_seed: int = parameter(Video, "seed")
    video_base_model: str | None = parameter(Video, "base_model")


class LoraParameters(GenerateParameters):
    model_id: str | None = parameter(GenerateJobSpec, "model_id", "my-dog", "my-dog@200")
    lora_scale: float = parameter(GenerateJobSpec, "lora_scale")
    lora: list[Annotated[str, Field(pattern=LORA_PATTERN, max_length=MAX_LORA_LENGTH)]] = Field(
        [],
        max_length=MAX_LORAS,
        description="A LoRA with its scale: my-dog:0.8, my-dog@200:0.8 or s3://bucket/folder/name.safetensors:0.8. "
        "Repeat it for up to 5 LoRAs at once. The scale is from -2 to 2, and 1 when left out. Not together with "
        "model_id.",
        examples=[["my-dog:0.8", "lcm:1"]],
    )


# Fields by parameter.
_IMAGES = {name: name for name in Images.model_fields}
_CACHE = {"cache_profile": "profile", "cache_interval": "interval", "cache_branch": "branch"}
VIDEO_PARAMETERS = {
    "video_steps": "steps",
    "video_fit": "fit",
    "video_seed": "seed",
    "video_base_model": "base_model",
    **{name: name for name in Video.model_fields if name not in ("steps", "fit", "seed", "base_model")},
}


def generate_spec(parameters: GenerateParameters) -> GenerateJobSpec:
    """The spec of a request; with LoRAs for `LoraParameters`. Raises `InvalidRequestError`."""
    given = parameters.model_dump(exclude_unset=True)
    if isinstance(parameters, LoraParameters):
        _require_one_form(parameters)
        if loras := given.pop("lora", None):
            given["loras"] = read_loras(loras)
    groups: tuple[tuple[str, type[Schema], dict[str, str]], ...] = (
        ("images", Images, _IMAGES),
        ("cache", Cache, _CACHE),
        ("video", Video, VIDEO_PARAMETERS),
    )
    for name, model, fields in groups:
        if values := take(given, fields):
            given[name] = model(**values)
    return GenerateJobSpec(**given)


def _require_one_form(parameters: LoraParameters) -> None:
    """Raises `InvalidRequestError` unless the request names either a model or LoRAs."""
    if parameters.model_id is None and not parameters.lora:
        raise invalid_request([FieldError("model_id", "Add model_id, or lora for each of several LoRAs.")])
    if parameters.model_id is not None and parameters.lora:
        message = f"Leave it out and add lora={parameters.model_id}:{parameters.lora_scale:g} instead: lora is set too."
        raise invalid_request([FieldError("model_id", message, parameters.model_id)])
