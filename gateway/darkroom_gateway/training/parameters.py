"""Query parameters of POST /train, and the `TrainJobSpec` that they make.

One request trains one concept. Several concepts in one LoRA, with their repeats, need a TrainJob in YAML.
"""

from typing import Any

from pydantic import Field

from darkroom_contract.names import LORA_URI_PATTERN, MODEL_REFERENCE_PATTERN
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.lora import LoraSource
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import MaskedLoss, PriorPreservation, Training, ValidationPrompt
from darkroom_contract.specs.training_choices import (
    Cropping,
    FilePrecision,
    LearningRateSchedule,
    LoraLayers,
    Memory,
    Optimizer,
    Quantization,
)
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.jobs.contract_fields import parameter
from darkroom_gateway.jobs.parameters import JobParameters, take

INITIAL_LORA_PATTERN = f"{MODEL_REFERENCE_PATTERN}|{LORA_URI_PATTERN}"

_DATASET_URI = (
    "Train on photos that are in object storage already, instead of uploading them: a folder of the namespace in "
    "Darkroom's own bucket, such as s3://darkroom/datasets/default/dog/, or one that the deployment allows. Captions "
    "and masks are beside the photos. Send no body then."
)
_CLASS_DATASET_URI = (
    "A folder of your own pictures of the class in object storage, such as s3://darkroom/datasets/default/dogs/, "
    "instead of generated ones."
)
_INITIAL_LORA = (
    "Continue from an existing LoRA: a model, optionally with a saved step (my-dog, my-dog@200, my-dog@best), or a "
    "file, such as s3://darkroom/loras/default/my-style.safetensors. rank, layers and dora must be those of that LoRA."
)
_MASKED_LOSS = (
    "Learn mainly what masks show: photo.mask.png beside photo.jpg in the form (white is learned), or the photo's "
    "transparency."
)


class TrainParameters(JobParameters):
    prompt: str = parameter(TrainJobSpec, "prompt", "a photo of sks dog")
    model_id: str = parameter(TrainJobSpec, "model_id", "my-dog")
    dataset_uri: str | None = parameter(Dataset, "uri", optional=True, description=_DATASET_URI)
    max_steps: int = parameter(TrainJobSpec, "max_steps")
    base_model: str | None = parameter(TrainJobSpec, "base_model")
    rank: int = parameter(Training, "rank")
    alpha: int | None = parameter(Training, "alpha")
    layers: LoraLayers = parameter(Training, "layers")
    dora: bool = parameter(Training, "dora")
    lora_dropout: float = parameter(Training, "lora_dropout")
    initial_lora: str | None = Field(None, pattern=INITIAL_LORA_PATTERN, max_length=512, description=_INITIAL_LORA)
    train_text_encoders: bool = parameter(Training, "train_text_encoders")
    text_encoder_learning_rate: float | None = parameter(Training, "text_encoder_learning_rate")
    optimizer: Optimizer = parameter(Training, "optimizer")
    learning_rate: float | None = parameter(Training, "learning_rate")
    learning_rate_schedule: LearningRateSchedule = parameter(Training, "learning_rate_schedule")
    warmup_steps: int = parameter(Training, "warmup_steps")
    batch_size: int = parameter(Training, "batch_size")
    gradient_accumulation_steps: int = parameter(Training, "gradient_accumulation_steps")
    max_grad_norm: float = parameter(Training, "max_grad_norm")
    cropping: Cropping = parameter(Training, "cropping")
    masked_loss: bool = Field(False, description=_MASKED_LOSS)
    unmasked_weight: float = parameter(MaskedLoss, "unmasked_weight")
    resolution: int | None = parameter(Training, "resolution")
    noise_offset: float = parameter(Training, "noise_offset")
    caption_dropout: float = parameter(Training, "caption_dropout")
    shuffle_tags: bool = parameter(Training, "shuffle_tags")
    keep_tags: int = parameter(Training, "keep_tags")
    random_flip: bool = parameter(Training, "random_flip")
    seed: int = parameter(Training, "seed")
    min_snr_gamma: float | None = parameter(Training, "min_snr_gamma")
    ema_decay: float | None = parameter(Training, "ema_decay")
    memory: Memory = parameter(Training, "memory")
    quantization: Quantization = parameter(Training, "quantization")
    checkpoint_steps: int = parameter(Training, "checkpoint_steps")
    validation_prompt: str | None = parameter(Training, "validation_prompt")
    validation_prompts: tuple[ValidationPrompt, ...] = parameter(Training, "validation_prompts")
    validation_steps: int = parameter(Training, "validation_steps")
    save_steps: int = parameter(Training, "save_steps")
    held_out_photos: int = parameter(Training, "held_out_photos")
    evaluation_steps: int = parameter(Training, "evaluation_steps")
    file_precision: FilePrecision = parameter(Training, "file_precision")
    class_prompt: str | None = parameter(PriorPreservation, "class_prompt", "a photo of a dog", optional=True)
    class_images: int = parameter(PriorPreservation, "class_images")
    class_dataset_uri: str | None = parameter(Dataset, "uri", optional=True, description=_CLASS_DATASET_URI)
    prior_weight: float = parameter(PriorPreservation, "weight")


# Fields by parameter. v1/field_names.py reads them too.
PRIOR_FIELDS = {
    "class_prompt": "class_prompt",
    "class_images": "class_images",
    "class_dataset_uri": "dataset",
    "prior_weight": "weight",
}
_CONVERTED = {"initial_lora", "masked_loss"}
TRAINING_FIELDS = {
    name: name for name in Training.model_fields if name in TrainParameters.model_fields and name not in _CONVERTED
}


def train_spec(parameters: TrainParameters, dataset_uri: str) -> TrainJobSpec:
    """The spec of a request for the photos at `dataset_uri`. Raises `InvalidRequestError` without a `class_prompt`
    that other parameters need."""
    given = parameters.model_dump(exclude_unset=True, exclude={"dataset_uri"})
    prior = take(given, PRIOR_FIELDS)
    training = take(given, TRAINING_FIELDS)
    masked = take(given, {"masked_loss": "is_on", "unmasked_weight": "unmasked_weight"})
    initial_lora = given.pop("initial_lora", None)
    if prior:
        training["prior_preservation"] = _prior_preservation(prior)
    if masked.pop("is_on", False):
        training["masked_loss"] = MaskedLoss(**masked)
    if initial_lora is not None:
        training["initial_lora"] = _lora_source(initial_lora)
    if training:
        given["training"] = Training(**training)
    return TrainJobSpec(dataset=Dataset(uri=dataset_uri), **given)


def _prior_preservation(prior: dict[str, Any]) -> PriorPreservation:
    if prior.get("class_prompt") is None:
        others = "class_images, class_dataset_uri and prior_weight"
        message = f"Add class_prompt, such as: a photo of a dog. {others} do nothing without it."
        raise invalid_request([FieldError("class_prompt", message)])
    uri = prior.pop("dataset", None)
    return PriorPreservation(dataset=None if uri is None else Dataset(uri=uri), **prior)


def _lora_source(given: str) -> LoraSource:
    return LoraSource(uri=given) if given.startswith("s3://") else LoraSource(model_id=given)
