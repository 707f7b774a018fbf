"""JSON specs: what is refused, under the name of which field, with which advice."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel

from darkroom_contract import similar_names
from darkroom_contract.jobs import SPEC_MODELS
from darkroom_contract.names import Kind
from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_gateway.errors import InvalidRequestError
from darkroom_gateway.generation.parameters import LoraParameters
from darkroom_gateway.http.problems import MAX_FIELD_ERRORS
from darkroom_gateway.training.contradictions import masks_without_effect
from darkroom_gateway.training.parameters import TrainParameters
from darkroom_gateway.v1.bodies import parse_model, parse_object
from darkroom_gateway.v1.field_names import PATHS, TRAIN_PATHS, in_yaml, text_in_fields
from darkroom_gateway.v1.spec_checks import reject_faults

TRAIN: dict[str, Any] = {"modelId": "dog", "prompt": "sks dog", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}}
GENERATE: dict[str, Any] = {"prompt": "a dog"}
PICTURE = {"uri": "s3://darkroom/images/default/a.png"}


def faults(model: type[TrainJobSpec] | type[GenerateJobSpec], document: dict[str, Any]) -> dict[str, str]:
    """Messages by field; the detail has those of the first three."""
    with pytest.raises(InvalidRequestError) as refusal:
        reject_faults(parse_model(model, document))
    found = refusal.value.field_errors
    assert all(f"{each.parameter}: {each.message}" in str(refusal.value) for each in found[:3])
    return {each.parameter: each.message for each in found}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"training": {"rank": "16"}}, "training.rank", "valid integer"),
        ({"training": {"rank": 0}}, "training.rank", "greater than or equal to 1"),
        ({"training": {"rnk": 4}}, "training.rnk", "Did you mean rank?"),
        ({"model_id": "dog"}, "model_id", "Did you mean modelId?"),
        ({"colour": "red"}, "colour", "there is no such field."),
        ({"concepts": [{"dataset": TRAIN["dataset"]}]}, "concepts[0].prompt", "Add this field"),
        ({"concepts": [{"prompt": "b", "dataset": {"uris": ""}}]}, "concepts[0].dataset.uris", "Did you mean uri?"),
        ({"modelId": "-"}, "modelId", "letters, digits"),
        ({"training": {"keepTags": 3}}, "training.keepTags", "Add training.shuffleTags: true"),
        ({"training": {"validationSteps": 5}}, "training.validationSteps", "Add training.validationPrompt or"),
        ({"maxSteps": 5000, "training": {"saveSteps": 1}}, "training.saveSteps", "Raise it to 50"),
        ({"training": {"initialLora": {}}}, "training.initialLora", "exactly one"),
    ],
)
def test_fault_of_a_training_names_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    assert words in faults(TrainJobSpec, {**TRAIN, **changes})[field]


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"images": {"count": 0}}, "images.count", "set allowMotion and video.startImage"),
        ({"mask": PICTURE}, "mask", "needs startImage"),
        ({"loraScale": 0.5}, "loraScale", "set the scale of each of loras"),
        ({"video": {"fps": 9}}, "video.fps", "Add allowMotion: true"),
        ({"video": {"startImage": PICTURE}}, "video.startImage.uri", "Add allowMotion: true"),
        ({"negativePrompt": "cats", "images": {"guidanceScale": 1}}, "negativePrompt", "Raise images.guidanceScale"),
        ({"images": {"quality": 20}}, "images.quality", "PNG is lossless"),
        ({"cache": {"profile": "Fast", "interval": 4}}, "cache.profile", "cache.interval overrides"),
        ({"loras": [{"modelId": "a"}, {"modelId": "a"}]}, "loras", "twice"),
    ],
)
def test_fault_of_a_generation_names_its_field(changes: dict[str, Any], field: str, words: str) -> None:
    assert words in faults(GenerateJobSpec, {**GENERATE, **changes})[field]


def test_advice_on_masks_is_a_spec_that_can_be_submitted() -> None:
    advice = text_in_fields(str(masks_without_effect()), TRAIN_PATHS)
    assert "Add training.maskedLoss: {}, or leave the masks (photo.mask.png) out" in advice
    parse_model(TrainJobSpec, {**TRAIN, "training": {"maskedLoss": {}}})


def test_all_faults_are_named_at_once() -> None:
    document = {**TRAIN, "maxSteps": "many", "training": {"rank": 0, "rnk": 1}}

    assert faults(TrainJobSpec, document).keys() == {"maxSteps", "training.rank", "training.rnk"}


@pytest.mark.parametrize(("model", "document"), [(TrainJobSpec, TRAIN), (GenerateJobSpec, GENERATE)])
def test_spec_with_all_defaults_is_accepted(model: Any, document: dict[str, Any]) -> None:
    """The spec of an answer has the defaults of the API server, with and without effect."""
    full = parse_model(model, document).model_dump(mode="json", by_alias=True, exclude_none=True)

    reject_faults(parse_model(model, full))
    assert full.keys() > document.keys()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": NaN}', '{"a": "\\ud800"}', "1", "[" * 100_000])
def test_body_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^body: "):
        parse_object(text.encode(), "body")


@pytest.mark.parametrize(("kind", "parameters"), [(Kind.TRAIN, TrainParameters), (Kind.GENERATE, LoraParameters)])
def test_each_parameter_of_the_query_forms_has_a_field(kind: Kind, parameters: type[BaseModel]) -> None:
    """Otherwise an error about it would name a parameter that a JSON spec does not have."""
    fields = generated_fields(SPEC_MODELS[kind])
    paths = {name: in_yaml(path) for name, path in PATHS[kind].items()}

    assert parameters.model_fields.keys() <= paths.keys()
    assert sorted(name for name, path in paths.items() if path not in fields) == []


def generated_fields(model: type[BaseModel], prefix: str = "") -> set[str]:
    """The dotted paths of all fields of a model, at any depth outside of lists."""
    found = set()
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        found.add(path)
        for each in (field.annotation, *get_args(field.annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                found |= generated_fields(each, f"{path}.")
    return found


@pytest.mark.parametrize("body", ['{"prompt": "a", "prompt": "b"}', '{"images": [{"prompt": 1, "prompt": 1}]}'])
def test_field_given_twice_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequestError, match="prompt: Give each field once"):
        parse_object(body.encode(), "body")


def test_byte_order_mark_is_ignored() -> None:
    assert parse_object('\ufeff{"prompt": "a dog"}'.encode(), "body") == {"prompt": "a dog"}


def test_many_unknown_fields_cost_no_more_than_some(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    monkeypatch.setattr(similar_names, "get_close_matches", lambda name, *_: compared.append(name) or [])

    found = faults(GenerateJobSpec, {**GENERATE, **{f"unknown{number}": 1 for number in range(500)}})

    assert (len(found), len(compared)) == (500, MAX_FIELD_ERRORS)


@pytest.mark.parametrize(
    ("model", "changes", "field", "words"),
    [
        (GenerateJobSpec, {"webhookEvents": ["Nothing"] * 2000}, "webhookEvents", "at most 4 entries: there are 2000"),
        (GenerateJobSpec, {"loras": [{}] * 6}, "loras", "at most 5"),
        (TrainJobSpec, {"dataset": {"captions": {str(n): 1 for n in range(101)}}}, "dataset.captions", "at most 100"),
        (TrainJobSpec, {"concepts": [{"dataset": {"captions": {str(n): 1 for n in range(101)}}}]},
         "concepts[0].dataset.captions", "at most 100"),
        (TrainJobSpec, {"training": {"validationPrompts": [1] * 9}}, "training.validationPrompts", "at most 8"),
    ],
)  # fmt: skip
def test_long_list_is_refused_before_its_entries_are_checked(
    model: Any, changes: dict[str, Any], field: str, words: str
) -> None:
    """pydantic checks each entry of a list before it counts them: half a million took a minute."""
    document = {**(TRAIN if model is TrainJobSpec else GENERATE), **changes}

    assert words in faults(model, document)[field]


@pytest.mark.parametrize("prompt", [[1] * 1001, {str(number): 1 for number in range(1001)}])
def test_bound_of_a_text_does_not_count_the_entries_of_a_list(prompt: object) -> None:
    found = faults(TrainJobSpec, {**TRAIN, "prompt": prompt, "priority": "high", "promt": 1})

    assert found.keys() == {"prompt", "priority", "promt"}
    assert "valid string" in found["prompt"]


def test_faults_beside_a_list_that_is_too_long_are_reported_too() -> None:
    changes = {"loras": [{"modelId": 1}] * 6, "webhookEvents": ["Nothing"] * 2000, "priority": "high", "promt": 1}

    found = faults(GenerateJobSpec, {**GENERATE, **changes})

    assert {"loras", "loras[0].modelId", "webhookEvents", "webhookEvents[3]", "priority", "promt"} <= found.keys()
    assert "webhookEvents[4]" not in found
    assert found["webhookEvents"] == "Send at most 4 entries: there are 2000."


def test_number_beyond_all_bounds_is_refused() -> None:
    spec = parse_object(b'{"prompt": "a", "priority": 1' + b"0" * 4000 + b', "loraScale": 1e400}', "body")

    assert faults(GenerateJobSpec, spec).keys() == {"priority", "loraScale"}
