"""Mistakes in a job's YAML: kubectl prints the field and the reason of each."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from support.kube_api import Api, Json

TRAIN = "trainjobs.darkroom.dev/v1alpha1"


@pytest.fixture
def apply_error(kubectl: Any, api: Api) -> Callable[[Json], str]:
    """Applies an invalid job with kubectl; returns the error that it prints."""

    def apply(document: Json) -> str:
        message: str = kubectl.error("apply", "-f", "-", stdin=yaml.safe_dump(document))
        return message

    return apply


def test_unknown_field_is_named(apply_error: Any, name: str, train_job: Callable[..., Json]) -> None:
    assert 'unknown field "spec.maxStep"' in apply_error(train_job(name, maxStep=100))


def test_every_unknown_field_is_named(apply_error: Any, name: str, train_job: Callable[..., Json]) -> None:
    message = apply_error(train_job(name, maxStep=100, training={"loraRank": 4}))
    assert 'unknown field "spec.maxStep"' in message
    assert 'unknown field "spec.training.loraRank"' in message


def test_wrong_type_is_reported_with_the_expected_type(
    apply_error: Any, name: str, train_job: Callable[..., Json]
) -> None:
    message = apply_error(train_job(name, maxSteps="many"))
    assert f'The TrainJob "{name}" is invalid' in message
    assert "spec.maxSteps" in message
    assert "must be of type integer" in message


def test_model_id_that_is_a_path_is_rejected(apply_error: Any, name: str, train_job: Callable[..., Json]) -> None:
    message = apply_error(train_job(name, modelId="../../etc"))
    assert 'spec.modelId: Invalid value: "../../etc"' in message
    assert "should match" in message


@pytest.mark.parametrize("steps", [0, -1])
def test_steps_below_one_are_rejected_with_the_bound(
    apply_error: Any, name: str, train_job: Callable[..., Json], steps: int
) -> None:
    message = apply_error(train_job(name, maxSteps=steps))
    assert re.search(r"spec.maxSteps: Invalid value: .*should be greater than or equal to 1", message)


@pytest.mark.parametrize("prompt", ["", "   "])
def test_empty_prompt_is_rejected(apply_error: Any, name: str, train_job: Callable[..., Json], prompt: str) -> None:
    assert "spec.prompt: Invalid value" in (message := apply_error(train_job(name, prompt=prompt)))
    assert "must not be blank" in message


def test_missing_prompt_is_reported_as_required(apply_error: Any, name: str, train_job: Callable[..., Json]) -> None:
    document = train_job(name)
    del document["spec"]["prompt"]
    assert "spec.prompt: Required value" in apply_error(document)


def test_changed_prompt_is_rejected_with_advice(
    apply_error: Any, kubectl: Any, api: Api, name: str, train_job: Callable[..., Json]
) -> None:
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(train_job(name)))
    message = apply_error(train_job(name, prompt="another"))
    assert "spec.prompt: Forbidden: prompt can't be changed after creation: create a new job" in message
    assert api.read(TRAIN, name)["spec"]["prompt"] == "a photo of sks cat"


@pytest.mark.parametrize("bad_name", ["a-name-that-is-longer-than-the-names-of-its-pods-allow", "with.dots"])
def test_name_that_is_not_a_valid_pod_prefix_is_rejected_with_the_reason(
    apply_error: Any, train_job: Callable[..., Json], bad_name: str
) -> None:
    message = apply_error(train_job(bad_name))
    assert "metadata.name must be at most 48 characters without dots" in message


def test_name_with_capitals_is_rejected_with_the_allowed_characters(
    apply_error: Any, train_job: Callable[..., Json]
) -> None:
    message = apply_error(train_job("MyJob"))
    assert 'metadata.name: Invalid value: "MyJob"' in message
    assert "lower case alphanumeric characters" in message


def test_unknown_kind_is_reported(apply_error: Any, name: str, train_job: Callable[..., Json]) -> None:
    message = apply_error(train_job(name) | {"kind": "TrainingJob"})
    assert 'no matches for kind "TrainingJob" in version "darkroom.dev/v1alpha1"' in message
