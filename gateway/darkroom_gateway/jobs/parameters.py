"""The query parameters of the submissions, with the contract's bounds, and what becomes of them: specs.

Each parameter takes its bounds, default and description from the field of the contract that it sets. Only what was
given is put into a spec; the API server fills in the rest, as it does for YAML.
"""

import copy
from typing import Any

from pydantic import BaseModel, ConfigDict

from darkroom_contract.schema import Schema
from darkroom_contract.specs import (
    Cache,
    CacheProfile,
    Dataset,
    GenerateJobSpec,
    Images,
    JobSpec,
    LearningRateSchedule,
    LoraLayers,
    PriorPreservation,
    Scheduler,
    Training,
    TrainJobSpec,
    Video,
    VideoFit,
)
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.http.case_insensitive import case_insensitive, enum_of


def of(model: type[BaseModel], name: str, *examples: str, optional: bool = False) -> Any:
    """The contract's field as a query parameter: its bounds, default and description, under its snake_case name.

    Values of enums are taken in any case.
    """
    field = copy.copy(model.model_fields[name])
    if enum := enum_of(field.annotation):
        field.metadata = [case_insensitive(enum), *field.metadata]
    field.alias = field.validation_alias = field.serialization_alias = None
    field.examples = list(examples) or None
    if optional:
        field.default = None
    return field


class JobParameters(BaseModel):
    """How the job queues, and how long it may take."""

    model_config = ConfigDict(extra="forbid")

    priority: int = of(JobSpec, "priority")
    suspend: bool = of(JobSpec, "suspend")
    backoff_limit: int = of(JobSpec, "backoff_limit")
    active_deadline_seconds: int | None = of(JobSpec, "active_deadline_seconds")
    start_deadline_seconds: int = of(JobSpec, "start_deadline_seconds")
    ttl_seconds_after_finished: int | None = of(JobSpec, "ttl_seconds_after_finished")


class TrainParameters(JobParameters):
    prompt: str = of(TrainJobSpec, "prompt", "a photo of sks dog")
    model_id: str = of(TrainJobSpec, "model_id", "my-dog")
    max_steps: int = of(TrainJobSpec, "max_steps")
    base_model: str | None = of(TrainJobSpec, "base_model")
    rank: int = of(Training, "rank")
    alpha: int | None = of(Training, "alpha")
    layers: LoraLayers = of(Training, "layers")
    train_text_encoders: bool = of(Training, "train_text_encoders")
    learning_rate: float = of(Training, "learning_rate")
    learning_rate_schedule: LearningRateSchedule = of(Training, "learning_rate_schedule")
    warmup_steps: int = of(Training, "warmup_steps")
    batch_size: int = of(Training, "batch_size")
    gradient_accumulation_steps: int = of(Training, "gradient_accumulation_steps")
    max_grad_norm: float = of(Training, "max_grad_norm")
    resolution: int | None = of(Training, "resolution")
    random_flip: bool = of(Training, "random_flip")
    seed: int = of(Training, "seed")
    min_snr_gamma: float | None = of(Training, "min_snr_gamma")
    checkpoint_steps: int = of(Training, "checkpoint_steps")
    validation_prompt: str | None = of(Training, "validation_prompt")
    class_prompt: str | None = of(PriorPreservation, "class_prompt", "a photo of a dog", optional=True)
    class_images: int = of(PriorPreservation, "class_images")
    prior_weight: float = of(PriorPreservation, "weight")


class GenerateParameters(JobParameters):
    prompt: str = of(GenerateJobSpec, "prompt", "a photo of a dog on the moon")
    allow_motion: bool = of(GenerateJobSpec, "allow_motion")
    negative_prompt: str = of(GenerateJobSpec, "negative_prompt")
    base_model: str | None = of(GenerateJobSpec, "base_model")
    count: int = of(Images, "count")
    width: int | None = of(Images, "width")
    height: int | None = of(Images, "height")
    steps: int = of(Images, "steps")
    guidance_scale: float = of(Images, "guidance_scale")
    seed: int = of(Images, "seed")
    scheduler: Scheduler | None = of(Images, "scheduler")
    cache_profile: CacheProfile = of(Cache, "profile")
    cache_interval: int | None = of(Cache, "interval")
    cache_branch: int = of(Cache, "branch")
    frames: int | None = of(Video, "frames")
    fps: int = of(Video, "fps")
    video_steps: int = of(Video, "steps")
    motion_bucket_id: int = of(Video, "motion_bucket_id")
    noise_aug_strength: float = of(Video, "noise_aug_strength")
    video_fit: VideoFit = of(Video, "fit")
    decode_chunk_size: int | None = of(Video, "decode_chunk_size")
    min_guidance_scale: float = of(Video, "min_guidance_scale")
    max_guidance_scale: float = of(Video, "max_guidance_scale")
    video_seed: int = of(Video, "seed")
    video_base_model: str | None = of(Video, "base_model")


class LoraParameters(GenerateParameters):
    model_id: str = of(TrainJobSpec, "model_id", "my-dog")
    lora_scale: float = of(GenerateJobSpec, "lora_scale")


# Where a parameter goes, for those that do not bear their field's own name.
_PRIOR = {"class_prompt": "class_prompt", "class_images": "class_images", "prior_weight": "weight"}
_CACHE = {"cache_profile": "profile", "cache_interval": "interval", "cache_branch": "branch"}
VIDEO_PARAMETERS = {
    "video_steps": "steps",
    "video_fit": "fit",
    "video_seed": "seed",
    "video_base_model": "base_model",
    **{name: name for name in Video.model_fields if name not in ("steps", "fit", "seed", "base_model")},
}
_TRAINING = {name: name for name in Training.model_fields if name in TrainParameters.model_fields}
_IMAGES = {name: name for name in Images.model_fields}


def train_spec(parameters: TrainParameters, dataset_uri: str) -> TrainJobSpec:
    """The spec that a request asks for. Raises `InvalidRequestError` when parameters do not go together."""
    given = parameters.model_dump(exclude_unset=True)
    prior = _take(given, _PRIOR)
    training = _take(given, _TRAINING)
    if prior:
        _require_class_prompt(prior)
        training["prior_preservation"] = PriorPreservation(**prior)
    if training:
        given["training"] = Training(**training)
    return TrainJobSpec(dataset=Dataset(uri=dataset_uri), **given)


def _require_class_prompt(prior: dict[str, Any]) -> None:
    if prior.get("class_prompt") is None:
        message = "Add class_prompt, such as: a photo of a dog. class_images and prior_weight do nothing without it."
        raise invalid_request([FieldError("class_prompt", message)])


def generate_spec(parameters: GenerateParameters) -> GenerateJobSpec:
    """The spec that a request asks for, with a LoRA when it comes from `LoraParameters`."""
    given = parameters.model_dump(exclude_unset=True)
    groups: tuple[tuple[str, type[Schema], dict[str, str]], ...] = (
        ("images", Images, _IMAGES),
        ("cache", Cache, _CACHE),
        ("video", Video, VIDEO_PARAMETERS),
    )
    for name, model, fields in groups:
        if values := _take(given, fields):
            given[name] = model(**values)
    return GenerateJobSpec(**given)


def _take(given: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """Move the parameters that belong to a group out of `given`, under the names of the group's fields."""
    return {field: given.pop(parameter) for parameter, field in fields.items() if parameter in given}
