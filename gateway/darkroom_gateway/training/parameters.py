"""Query parameters of POST /train, and the `TrainJobSpec` that they make."""

from typing import Any

from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import PriorPreservation, Training
from darkroom_contract.specs.training_choices import LearningRateSchedule, LoraLayers
from darkroom_gateway.errors import FieldError, invalid_request
from darkroom_gateway.jobs.contract_fields import parameter
from darkroom_gateway.jobs.parameters import JobParameters, take


class TrainParameters(JobParameters):
    prompt: str = parameter(TrainJobSpec, "prompt", "a photo of sks dog")
    model_id: str = parameter(TrainJobSpec, "model_id", "my-dog")
    max_steps: int = parameter(TrainJobSpec, "max_steps")
    base_model: str | None = parameter(TrainJobSpec, "base_model")
    rank: int = parameter(Training, "rank")
    alpha: int | None = parameter(Training, "alpha")
    layers: LoraLayers = parameter(Training, "layers")
    train_text_encoders: bool = parameter(Training, "train_text_encoders")
    learning_rate: float | None = parameter(Training, "learning_rate")
    learning_rate_schedule: LearningRateSchedule = parameter(Training, "learning_rate_schedule")
    warmup_steps: int = parameter(Training, "warmup_steps")
    batch_size: int = parameter(Training, "batch_size")
    gradient_accumulation_steps: int = parameter(Training, "gradient_accumulation_steps")
    max_grad_norm: float = parameter(Training, "max_grad_norm")
    resolution: int | None = parameter(Training, "resolution")
    random_flip: bool = parameter(Training, "random_flip")
    seed: int = parameter(Training, "seed")
    min_snr_gamma: float | None = parameter(Training, "min_snr_gamma")
    checkpoint_steps: int = parameter(Training, "checkpoint_steps")
    validation_prompt: str | None = parameter(Training, "validation_prompt")
    class_prompt: str | None = parameter(PriorPreservation, "class_prompt", "a photo of a dog", optional=True)
    class_images: int = parameter(PriorPreservation, "class_images")
    prior_weight: float = parameter(PriorPreservation, "weight")


# Fields by parameter.
_PRIOR = {"class_prompt": "class_prompt", "class_images": "class_images", "prior_weight": "weight"}
_TRAINING = {name: name for name in Training.model_fields if name in TrainParameters.model_fields}


def train_spec(parameters: TrainParameters, dataset_uri: str) -> TrainJobSpec:
    """The spec of a request. Raises `InvalidRequestError` for parameters that contradict each other."""
    given = parameters.model_dump(exclude_unset=True)
    prior = take(given, _PRIOR)
    training = take(given, _TRAINING)
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
