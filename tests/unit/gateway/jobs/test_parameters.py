"""Every field of the contract has a query parameter with the contract's bounds, except those that only YAML has."""

import pytest
from pydantic import BaseModel

from darkroom_contract.specs.cache import Cache
from darkroom_contract.specs.dataset import Dataset
from darkroom_contract.specs.generate_job import GenerateJobSpec, Upscale
from darkroom_contract.specs.images import Images
from darkroom_contract.specs.job import JobSpec
from darkroom_contract.specs.start_image import ImageSource, Mask, StartImage
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_contract.specs.training import MaskedLoss, PriorPreservation, Training
from darkroom_contract.specs.video import Video
from darkroom_gateway.generation.parameters import GenerateParameters, LoraParameters, generate_spec
from darkroom_gateway.training.parameters import TrainParameters, train_spec

URI = "s3://darkroom/datasets/default/x/"
RENAMED: dict[tuple[type[BaseModel], str], str] = {
    (Dataset, "uri"): "dataset_uri",
    (PriorPreservation, "weight"): "prior_weight",
    **{(Cache, name): f"cache_{name}" for name in Cache.model_fields},
    **{(Upscale, name): f"upscale_{name}" for name in Upscale.model_fields},
    (ImageSource, "uri"): "image_uri",
    (StartImage, "fit"): "image_fit",
    (StartImage, "uri"): "image_uri",
    (Mask, "uri"): "mask_uri",
    (Mask, "blur"): "mask_blur",
    (Mask, "channel"): "mask_channel",
    (Mask, "invert"): "mask_invert",
    (Video, "steps"): "video_steps",
    (Video, "fit"): "video_fit",
    (Video, "seed"): "video_seed",
    (Video, "base_model"): "video_base_model",
}
GROUPS = {
    "dataset",
    "training",
    "prior_preservation",
    "masked_loss",
    "initial_lora",
    "images",
    "cache",
    "video",
    "loras",
    "start_image",
    "mask",
    "upscale",
}
YAML_ONLY = {"concepts", "repeats", "captions"}
"""A request trains one concept, for which repeats have no effect, and captions are files of its form."""
FIELDS = [
    (parameters, model, name)
    for parameters, models in [
        (TrainParameters, (JobSpec, TrainJobSpec, Dataset, Training, MaskedLoss, PriorPreservation)),
        (
            LoraParameters,
            (JobSpec, GenerateJobSpec, Images, Cache, Video, Upscale, ImageSource, StartImage, Mask),
        ),
    ]
    for model in models
    for name in model.model_fields
    if name not in GROUPS | YAML_ONLY
]


@pytest.mark.parametrize(("parameters", "model", "name"), FIELDS)
def test_parameter_has_the_bounds_of_its_field(parameters: type[BaseModel], model: type[BaseModel], name: str) -> None:
    field = model.model_fields[name]
    parameter = parameters.model_fields[RENAMED.get((model, name), name)]

    assert [str(each) for each in field.metadata] == [
        str(each) for each in parameter.metadata if "Validator" not in type(each).__name__
    ]
    assert parameter.description


def test_class_dataset_has_the_bounds_of_a_dataset() -> None:
    fields = TrainParameters.model_fields

    assert (
        fields["class_dataset_uri"].metadata == fields["dataset_uri"].metadata == Dataset.model_fields["uri"].metadata
    )


def test_spec_contains_only_given_parameters() -> None:
    train = train_spec(TrainParameters(prompt="sks dog", model_id="dog", rank=4), URI)
    generate = generate_spec(GenerateParameters(prompt="a dog", fps=5))

    assert train.model_dump(exclude_unset=True) == {
        "prompt": "sks dog",
        "model_id": "dog",
        "dataset": {"uri": URI},
        "training": {"rank": 4},
    }
    assert generate.model_dump(exclude_unset=True) == {"prompt": "a dog", "video": {"fps": 5}}


def test_default_is_that_of_the_contract() -> None:
    parameters = TrainParameters(prompt="sks dog", model_id="dog")

    assert parameters.max_steps == TrainJobSpec.model_fields["max_steps"].default
    assert parameters.learning_rate == Training().learning_rate


def test_class_prompt_alone_enables_prior_preservation() -> None:
    spec = train_spec(TrainParameters(prompt="sks dog", model_id="dog", class_prompt="a dog", prior_weight=0.5), URI)

    assert spec.training.prior_preservation == PriorPreservation(class_prompt="a dog", weight=0.5)
    assert train_spec(TrainParameters(prompt="a", model_id="b"), URI).training.prior_preservation is None
