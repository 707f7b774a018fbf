"""Query parameters of POST /generate/*, and the `GenerateJobSpec` that they make."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from darkroom_contract.names import HTTP_URL_PATTERN, MAX_JOB_NAME_LENGTH
from darkroom_contract.schema import Schema
from darkroom_contract.specs.cache import Cache, CachePolicy, CacheProfile
from darkroom_contract.specs.generate_job import GenerateJobSpec, Upscale
from darkroom_contract.specs.images import ImageFormat, Images, Scheduler, VaeTiling
from darkroom_contract.specs.lora import MAX_LORAS
from darkroom_contract.specs.start_image import ImageFit, ImageSource, Mask, MaskChannel, StartImage
from darkroom_contract.specs.video import Video, VideoFit
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.generation.image_links import MAX_URL_CHARACTERS
from darkroom_gateway.generation.image_sources import IMAGE_FILE_PATTERN, ImageRole
from darkroom_gateway.generation.loras import LORA_PATTERN, MAX_LORA_LENGTH, read_loras
from darkroom_gateway.jobs.contract_fields import parameter
from darkroom_gateway.jobs.parameters import JobParameters, take
from darkroom_gateway.jobs.task_ids import TASK_ID_PATTERN

_UPSCALE_FACTOR = (
    "A second pass at this multiple of width and height, 1.1 to 2, which adds detail. No second pass when unset."
)


def _url(what: str) -> Any:
    description = f"{what}: an http or https link, which the gateway downloads. At most 25 MiB."
    return Field(None, pattern=HTTP_URL_PATTERN, max_length=MAX_URL_CHARACTERS, description=description)


def _uri(what: str) -> Any:
    return parameter(ImageSource, "uri", optional=True, description=f"{what}: a picture in object storage. {_FOLDERS}")


def _task(what: str) -> Any:
    description = f"{what}: a picture of an earlier task, which must have succeeded."
    return Field(None, pattern=TASK_ID_PATTERN, max_length=MAX_JOB_NAME_LENGTH, description=description)


def _file(role: ImageRole) -> Any:
    description = f"Which file of {role.task_parameter}, by its name. Its first picture when left out."
    return Field(None, pattern=IMAGE_FILE_PATTERN, max_length=100, description=description)


_FOLDERS = (
    "In Darkroom's own bucket below images/<namespace>/ or datasets/<namespace>/, or in a folder that the deployment "
    "allows."
)
_IMAGE = "The picture that the prompt changes (image to image)"
_MASK = "The part of the start picture to paint (inpainting), white on black"
_VIDEO_IMAGE = "The picture that the clip begins with, instead of the first image"


class ImageParameters(JobParameters):
    """Where start pictures come from, unless they are parts of the form, and what is done with them."""

    image_url: str | None = _url(_IMAGE)
    image_task_id: str | None = _task(_IMAGE)
    image_file: str | None = _file(ImageRole.IMAGE)
    image_uri: str | None = _uri(_IMAGE)
    strength: float = parameter(StartImage, "strength")
    image_fit: ImageFit = parameter(StartImage, "fit")
    mask_url: str | None = _url(_MASK)
    mask_task_id: str | None = _task(_MASK)
    mask_file: str | None = _file(ImageRole.MASK)
    mask_uri: str | None = _uri(_MASK)
    mask_blur: int = parameter(Mask, "blur")
    mask_channel: MaskChannel = parameter(Mask, "channel")
    mask_invert: bool = parameter(Mask, "invert")
    video_image_url: str | None = _url(_VIDEO_IMAGE)
    video_image_task_id: str | None = _task(_VIDEO_IMAGE)
    video_image_file: str | None = _file(ImageRole.VIDEO_IMAGE)
    video_image_uri: str | None = _uri(_VIDEO_IMAGE)


class GenerateParameters(ImageParameters):
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
    clip_skip: int = parameter(Images, "clip_skip")
    vae_tiling: VaeTiling = parameter(Images, "vae_tiling")
    preview_steps: int = parameter(Images, "preview_steps")
    format: ImageFormat = parameter(Images, "format")
    quality: int = parameter(Images, "quality")
    grid: bool = parameter(Images, "grid")
    upscale_factor: float | None = parameter(Upscale, "factor", optional=True, description=_UPSCALE_FACTOR)
    upscale_strength: float = parameter(Upscale, "strength")
    upscale_steps: int | None = parameter(Upscale, "steps")
    cache_profile: CacheProfile = parameter(Cache, "profile")
    cache_policy: CachePolicy = parameter(Cache, "policy")
    cache_interval: int | None = parameter(Cache, "interval")
    cache_branch: int = parameter(Cache, "branch")
    cache_threshold: float | None = parameter(Cache, "threshold")
    cache_reuse_guidance: bool = parameter(Cache, "reuse_guidance")
    cache_reuse_attention: bool = parameter(Cache, "reuse_attention")
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


# Fields by parameter. v1/field_names.py reads them too.
IMAGES_FIELDS = {name: name for name in Images.model_fields}
CACHE_FIELDS = {f"cache_{name}": name for name in Cache.model_fields}
UPSCALE_FIELDS = {f"upscale_{name}": name for name in Upscale.model_fields}
START_IMAGE_FIELDS = {"strength": "strength", "image_fit": "fit"}
MASK_FIELDS = {f"mask_{name}": name for name in ("blur", "channel", "invert")}
_SOURCES = {name for role in ImageRole for name in role.parameters}
VIDEO_PARAMETERS = {
    "video_steps": "steps",
    "video_fit": "fit",
    "video_seed": "seed",
    "video_base_model": "base_model",
    **{name: name for name in Video.model_fields if name not in ("steps", "fit", "seed", "base_model", "start_image")},
}

ImageUris = Mapping[ImageRole, str]
"""The URI of each picture of a request."""


def generate_spec(parameters: GenerateParameters, uris: ImageUris | None = None) -> GenerateJobSpec:
    """The spec of a request; with LoRAs for `LoraParameters`. Raises `InvalidRequestError`.

    Parameters without effect, such as `strength` without a picture, are left out: unused_parameters.py rejects them.
    """
    uris = uris or {}
    given = parameters.model_dump(exclude_unset=True, exclude=_SOURCES)
    start_image, mask = take(given, START_IMAGE_FIELDS), take(given, MASK_FIELDS)
    upscale = take(given, UPSCALE_FIELDS)
    if ImageRole.IMAGE in uris:
        given["start_image"] = StartImage(uri=uris[ImageRole.IMAGE], **start_image)
    if ImageRole.MASK in uris:
        given["mask"] = Mask(uri=uris[ImageRole.MASK], **mask)
    if upscale.get("factor") is not None:
        given["upscale"] = Upscale(**upscale)
    if isinstance(parameters, LoraParameters):
        _require_one_form(parameters)
        if loras := given.pop("lora", None):
            given["loras"] = read_loras(loras)
    groups: tuple[tuple[str, type[Schema], dict[str, str]], ...] = (
        ("images", Images, IMAGES_FIELDS),
        ("cache", Cache, CACHE_FIELDS),
        ("video", Video, VIDEO_PARAMETERS),
    )
    for name, model, fields in groups:
        values = take(given, fields)
        if name == "video" and ImageRole.VIDEO_IMAGE in uris:
            values["start_image"] = ImageSource(uri=uris[ImageRole.VIDEO_IMAGE])
        if values:
            given[name] = model(**values)
    return GenerateJobSpec(**given)


def _require_one_form(parameters: LoraParameters) -> None:
    """Raises `InvalidRequestError` unless the request names either a model or LoRAs."""
    if parameters.model_id is None and not parameters.lora:
        raise invalid_request([FieldError("model_id", "Add model_id, or lora for each of several LoRAs.")])
    if parameters.model_id is not None and parameters.lora:
        message = f"Leave it out and add lora={parameters.model_id}:{parameters.lora_scale:g} instead: lora is set too."
        raise invalid_request([FieldError("model_id", message, parameters.model_id)])
