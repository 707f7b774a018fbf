"""Parameters of `POST /train`: values at their bounds, the spec that they make, and what they contradict.

tests/unit/gateway/jobs/test_parameters.py compares the bounds with those of the contract.
"""

from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from support.photos import encode, scene

from darkroom_contract.names import Kind
from darkroom_contract.specs.training import Training
from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.training.contradictions import in_parameters, reject_contradictions
from darkroom_gateway.training.parameters import TrainParameters, train_spec

URI = "s3://darkroom/datasets/default/x/"
EDGES: dict[str, tuple[list[Any], list[Any]]] = {
    "lora_dropout": ([0, 0.9], [-0.01, 0.91]),
    "text_encoder_learning_rate": ([0, 10], [-1, 10.1]),
    "learning_rate": ([1e-8, 10], [0, 10.1]),
    "noise_offset": ([0, 1], [-0.1, 1.1]),
    "caption_dropout": ([0, 1], [-0.1, 1.1]),
    "keep_tags": ([0, 50], [-1, 51, 1.5]),
    "ema_decay": ([0, 0.9999], [-0.1, 1]),
    "unmasked_weight": ([0, 1], [-0.1, 1.1]),
    "validation_steps": ([0, 20000], [-1, 20001]),
    "save_steps": ([0, 20000], [-1, 20001]),
    "held_out_photos": ([0, 50], [-1, 51]),
    "evaluation_steps": ([1, 20000], [0, 20001]),
    "optimizer": (["AdamW", "adamw8BIT", "ADAFACTOR", "prodigy"], ["SGD", ""]),
    "cropping": (["buckets", "Square"], ["Center"]),
    "memory": (["auto", "LOW"], ["High"]),
    "quantization": (["auto", "disabled", "nf4", "fp8"], ["Off"]),
    "file_precision": (["float16", "BFLOAT16", "Float32"], ["Float8"]),
    "dora": (["true", "false"], ["2"]),
    "masked_loss": (["true", "false"], ["mask"]),
    "shuffle_tags": (["true", "false"], ["some"]),
    "validation_prompts": ([["a"], ["a"] * 8, ["a" * 1000]], [["a"] * 9, [" "], ["a" * 1001]]),
    "initial_lora": (
        ["my-dog", "my-dog@200", "my-dog@best", "s3://darkroom/loras/default/a b@1.safetensors"],
        ["my dog", "my-dog@0", "my-dog@last", "../dog", "s3://darkroom/a.ckpt", "http://x/a.safetensors", "a" * 64],
    ),
    "dataset_uri": ([URI], ["datasets/x", "s3://x", f"s3://darkroom/{'a' * 512}/"]),
    "class_dataset_uri": ([URI], ["datasets/x", "https://darkroom/x/"]),
}
"""Values at the bounds of each new parameter, and beyond them."""


def parameters(**given: Any) -> TrainParameters:
    return TrainParameters(prompt="sks dog", model_id="dog", **given)


@pytest.mark.parametrize("name", sorted(EDGES))
def test_values_at_the_bounds_are_accepted_and_others_refused(http: httpx.Client, name: str) -> None:
    good, bad = EDGES[name]
    for value in good:
        assert name in parameters(**{name: value}).model_fields_set
    for value in bad:
        with pytest.raises(ValidationError):
            parameters(**{name: value})
        response = http.post("/train", params={"prompt": "sks dog", "model_id": "dog", name: value})
        assert response.status_code == 422, f"{name}={value}: {response.text}"
        assert {each["parameter"] for each in response.json()["errors"]} == {name}


SETTINGS: dict[str, Any] = {
    "optimizer": "prodigy",
    "train_text_encoders": True,
    "text_encoder_learning_rate": 0.5,
    "dora": True,
    "lora_dropout": 0.1,
    "cropping": "square",
    "noise_offset": 0.05,
    "caption_dropout": 0.1,
    "shuffle_tags": True,
    "keep_tags": 2,
    "ema_decay": 0.99,
    "memory": "low",
    "quantization": "nf4",
    "validation_prompts": ["a", "b"],
    "validation_steps": 50,
    "save_steps": 100,
    "held_out_photos": 1,
    "evaluation_steps": 25,
    "file_precision": "bfloat16",
}


def test_training_settings_reach_the_spec() -> None:
    asked = parameters(**SETTINGS)

    spec = train_spec(asked, URI)

    reject_contradictions(asked, spec)
    training = spec.to_dict()["training"]
    found = {name: str(training[Training.model_fields[name].alias]).casefold() for name in SETTINGS}
    assert found == {name: str(value).casefold() for name, value in SETTINGS.items()}


def test_groups_of_settings_reach_the_spec() -> None:
    asked = parameters(
        masked_loss=True,
        unmasked_weight=0.25,
        initial_lora="dog@best",
        class_prompt="a dog",
        class_dataset_uri=URI,
        prior_weight=0.5,
    )

    training = train_spec(asked, URI).to_dict()["training"]

    assert training["maskedLoss"] == {"unmaskedWeight": 0.25}
    assert training["initialLora"] == {"modelId": "dog@best"}
    prior = training["priorPreservation"]
    assert (prior["classPrompt"], prior["dataset"], prior["weight"]) == ("a dog", {"uri": URI}, 0.5)


def test_file_of_a_lora_is_a_uri_in_the_spec() -> None:
    lora = train_spec(parameters(initial_lora="s3://darkroom/loras/default/a.safetensors"), URI).training.initial_lora

    assert lora is not None
    assert (lora.model_id, lora.uri) == (None, "s3://darkroom/loras/default/a.safetensors")


def test_request_without_options_leaves_them_to_the_api_server() -> None:
    spec = train_spec(parameters(masked_loss=False), URI)

    assert spec.model_dump(exclude_unset=True) == {"prompt": "sks dog", "model_id": "dog", "dataset": {"uri": URI}}


@pytest.mark.parametrize(
    ("given", "name", "words"),
    [
        ({"text_encoder_learning_rate": 1e-5}, "text_encoder_learning_rate", "without train_text_encoders"),
        ({"save_steps": 1, "max_steps": 500}, "save_steps", "Raise it to 5 or more"),
        ({"keep_tags": 3}, "keep_tags", "shuffle_tags=true"),
        ({"unmasked_weight": 0.1}, "unmasked_weight", "masked_loss=true"),
        ({"unmasked_weight": 0.1, "masked_loss": False}, "unmasked_weight", "masked_loss=true"),
        ({"evaluation_steps": 10}, "evaluation_steps", "held_out_photos"),
        ({"validation_steps": 10}, "validation_steps", "validation_prompts"),
        ({"class_prompt": "a", "class_images": 5, "class_dataset_uri": URI}, "class_images", "class_dataset_uri"),
        ({"class_dataset_uri": URI}, "class_prompt", "class_dataset_uri"),
    ],
)
def test_contradiction_is_refused_and_names_the_parameter(given: dict[str, Any], name: str, words: str) -> None:
    asked = parameters(**given)

    with pytest.raises(InvalidRequestError, match=words) as refusal:
        reject_contradictions(asked, train_spec(asked, URI))

    assert [each.parameter for each in refusal.value.field_errors] == [name]
    assert "training." not in str(refusal.value)
    assert not refusal.value.field_errors[0].message.startswith(name)


def test_messages_of_the_contract_name_parameters() -> None:
    message = "training.saveSteps contradicts spec.maxSteps and training.priorPreservation.classPrompt. Lower memory."

    assert in_parameters(message) == (
        "save_steps",
        "It contradicts max_steps and class_prompt. Lower memory.",
    )
    assert in_parameters("training.saveSteps 1 saves too often. Raise it.") == (
        "save_steps",
        "It saves too often. Raise it.",
    )
    assert in_parameters("This is bad.") == ("training", "This is bad.")


def test_contradiction_is_refused_over_http(http: httpx.Client, cluster: Any) -> None:
    before = cluster.count(Kind.TRAIN)

    response = http.post(
        "/train",
        params={"prompt": "sks dog", "model_id": "dog", "save_steps": 1, "keep_tags": 2},
        files={"files": ("a.jpg", encode(scene(), "JPEG"))},
    )

    assert response.status_code == 422
    assert {each["parameter"]: each["given"] for each in response.json()["errors"]} == {
        "save_steps": "1",
        "keep_tags": "2",
    }
    assert cluster.count(Kind.TRAIN) == before


def test_validation_prompts_are_repeated_in_the_query(http: httpx.Client, cluster: Any) -> None:
    response = http.post(
        "/train?prompt=sks+dog&model_id=dog&validation_prompts=a+dog&validation_prompts=a+dog+in+the+sea&optimizer=prodigy",
        files={"files": ("a.jpg", encode(scene(), "JPEG"))},
    )

    assert response.status_code == 202, response.text
    training = cluster.get(Kind.TRAIN, response.json()["task_id"])["spec"]["training"]
    assert training["validationPrompts"] == ["a dog", "a dog in the sea"]
    assert training["optimizer"] == "Prodigy"
