"""Custom resources: defaults, pruning, schema validation, and CEL rules."""

from collections.abc import Callable

import pytest
from support.kube_api import Api, Json, ok, refused

TRAIN = "trainjobs.darkroom.dev/v1alpha1"
GENERATE = "generatejobs.darkroom.dev/v1alpha1"


def test_defaults_are_set_at_every_level(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    spec = api.made(GENERATE, generate_job(name))["spec"]
    assert (spec["priority"], spec["backoffLimit"], spec["negativePrompt"]) == (0, 2, "")
    assert spec["images"]["steps"] == 30
    assert spec["cache"]["profile"] == "Balanced"
    assert "modelId" not in spec


def test_given_values_are_kept(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    images = api.made(GENERATE, generate_job(name, images={"count": 3}))["spec"]["images"]
    assert (images["count"], images["steps"]) == (3, 30)


def test_new_object_has_an_identity(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    metadata = api.made(TRAIN, train_job(name))["metadata"]
    assert len(metadata["uid"]) == 36
    assert metadata["creationTimestamp"].endswith("Z")
    assert metadata["generation"] == 1
    assert metadata["namespace"] == api.namespace


def test_server_generates_a_name(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    nameless = train_job(name) | {"metadata": {"generateName": f"{name}-"}}
    names = {api.made(TRAIN, nameless)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(each.startswith(f"{name}-") for each in names)


def test_strict_validation_rejects_an_unknown_field_by_name(
    api: Api, name: str, train_job: Callable[..., Json]
) -> None:
    answer = api.create(TRAIN, train_job(name, colour="red"), fieldValidation="Strict")
    assert 'unknown field "spec.colour"' in refused(answer, 400, "BadRequest")
    assert not api.exists(TRAIN, name)


def test_unknown_field_is_removed_with_a_warning_by_default(
    api: Api, name: str, train_job: Callable[..., Json]
) -> None:
    answer = api.create(TRAIN, train_job(name, colour="red"))
    assert "colour" not in ok(answer, 201)["spec"]
    assert 'unknown field \\"spec.colour\\"' in answer.headers["Warning"]


def test_nested_unknown_field_is_named_by_its_path(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    answer = api.create(GENERATE, generate_job(name, images={"colour": 1}), fieldValidation="Strict")
    assert 'unknown field "spec.images.colour"' in refused(answer, 400)


@pytest.mark.parametrize(
    ("spec", "field", "expected"),
    [
        ({"maxSteps": "many"}, "spec.maxSteps", "must be of type integer"),
        ({"maxSteps": 0}, "spec.maxSteps", "should be greater than or equal to 1"),
        ({"maxSteps": 20001}, "spec.maxSteps", "should be less than or equal to 20000"),
        ({"maxSteps": 1.5}, "spec.maxSteps", "must be of type integer"),
        ({"suspend": "yes"}, "spec.suspend", "must be of type boolean"),
        ({"prompt": ""}, "spec.prompt", "must not be blank"),
        ({"prompt": "x" * 1001}, "spec.prompt", "Too long"),
        ({"prompt": None}, "spec.prompt", ""),
        ({"modelId": "../../etc"}, "spec.modelId", "should match"),
        ({"dataset": {}}, "spec.dataset.uri", "Required value"),
        ({"dataset": {"uri": "file:///etc/passwd"}}, "spec.dataset.uri", "should match"),
        ({"dataset": "s3://bucket/x/"}, "spec.dataset", "must be of type object"),
    ],
)
def test_value_that_violates_the_schema_is_rejected_by_field(
    api: Api, name: str, train_job: Callable[..., Json], spec: Json, field: str, expected: str
) -> None:
    answer = api.create(TRAIN, train_job(name, **spec))
    message = refused(answer, 422, "Invalid")
    assert message.startswith(f'TrainJob.darkroom.dev "{name}" is invalid: ')
    assert field in message
    assert expected in message
    causes = answer.json()["details"]["causes"]
    assert field in {each["field"] for each in causes}
    assert not api.exists(TRAIN, name)


def test_value_outside_an_enum_is_rejected_with_the_choices(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    message = refused(api.create(GENERATE, generate_job(name, cache={"profile": "Wild"})), 422, "Invalid")
    assert 'spec.cache.profile: Unsupported value: "Wild": supported values: "' in message
    assert '"Balanced"' in message


CONTRADICTION = {"minGuidanceScale": 3, "maxGuidanceScale": 1}
"""The last frame disables guidance for all frames, while the first enables it. Integers, as users write them."""


def test_contradictory_guidance_scales_are_rejected_on_create(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    doomed = generate_job(name, allowMotion=True, video=CONTRADICTION)
    message = refused(api.create(GENERATE, doomed), 422, "Invalid")
    assert "spec.video.minGuidanceScale" in message
    assert "spec.video.maxGuidanceScale turns guidance off for the whole clip" in message
    assert "raise the former above 1 or lower the latter to 1" in message
    # A status cannot be set on create, so it does not bypass the rule.
    assert "turns guidance off" in refused(api.create(GENERATE, {**doomed, "status": {"phase": "Queued"}}), 422)
    assert not api.exists(GENERATE, name)


@pytest.mark.parametrize(
    "spec",
    [
        {"allowMotion": True},
        {"allowMotion": True, "video": {"minGuidanceScale": 5.5, "maxGuidanceScale": 1.5}},
        {"allowMotion": True, "video": {"maxGuidanceScale": 0}},
        {"allowMotion": True, "video": {"minGuidanceScale": 1, "maxGuidanceScale": 1}},
        {"video": CONTRADICTION},
    ],
)
def test_valid_guidance_scales_are_accepted(api: Api, name: str, generate_job: Callable[..., Json], spec: Json) -> None:
    ok(api.create(GENERATE, generate_job(name, **spec)), 201)
    ok(api.patch(GENERATE, name, {"spec": {"priority": 3}}))
    ok(api.delete(GENERATE, name))


def test_all_errors_are_reported_at_once(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    message = refused(api.create(TRAIN, train_job(name, maxSteps=0, modelId="..", priority=9999)), 422, "Invalid")
    assert all(field in message for field in ("spec.maxSteps", "spec.modelId", "spec.priority"))


def test_missing_required_field_is_named(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    document = train_job(name)
    del document["spec"]["prompt"]
    assert "spec.prompt: Required value" in refused(api.create(TRAIN, document), 422, "Invalid")


def test_rule_can_compare_with_the_old_state(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    message = refused(api.patch(TRAIN, name, {"spec": {"prompt": "another"}}), 422, "Invalid")
    assert "spec.prompt: Forbidden: prompt can't be changed after creation: create a new job" in message


def test_rule_detects_an_added_or_removed_optional_field(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, generate_job(name))
    added = refused(api.patch(GENERATE, name, {"spec": {"modelId": "cat"}}), 422)
    assert "modelId can't be changed after creation" in added
    api.made(GENERATE, generate_job(f"{name}-two", modelId="cat"))
    removed = refused(api.patch(GENERATE, f"{name}-two", {"spec": {"modelId": None}}), 422)
    assert "modelId can't be changed after creation" in removed


def test_mutable_fields_may_change(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    after = ok(api.patch(TRAIN, name, {"spec": {"priority": 5, "suspend": True, "backoffLimit": 0}}))
    assert (after["spec"]["priority"], after["spec"]["backoffLimit"]) == (5, 0)


@pytest.mark.parametrize("bad_name", ["a" * 49, "with.dots"])
def test_rule_can_check_the_name(api: Api, train_job: Callable[..., Json], bad_name: str) -> None:
    message = refused(api.create(TRAIN, train_job(bad_name)), 422, "Invalid")
    assert "metadata.name must be at most 48 characters without dots" in message


@pytest.mark.parametrize("bad_name", ["Upper", "under_score", "-dash", ""])
def test_name_that_is_not_a_dns_name_is_rejected(api: Api, train_job: Callable[..., Json], bad_name: str) -> None:
    assert "metadata.name" in refused(api.create(TRAIN, train_job(bad_name)), 422, "Invalid") or not bad_name


def test_invalid_label_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    document = train_job(name)
    document["metadata"]["labels"] = {"a": "with spaces"}
    assert "metadata.labels" in refused(api.create(TRAIN, document), 422, "Invalid")


def test_metadata_with_a_wrong_type_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    document = train_job(name)
    document["metadata"]["labels"] = ["a"]
    refused(api.create(TRAIN, document), 400, "BadRequest")


def test_body_of_another_kind_is_rejected(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    assert "must be TrainJob" in refused(api.create(TRAIN, generate_job(name)), 422, "Invalid")


def test_body_for_another_namespace_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    document = train_job(name)
    document["metadata"]["namespace"] = "default"
    message = refused(api.create(TRAIN, document), 400, "BadRequest")
    assert "namespace of the provided object does not match" in message


def test_unknown_namespace_is_reported(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    path = api.path(TRAIN, namespace=f"{name}-nowhere")
    assert f'namespaces "{name}-nowhere" not found' in refused(api.http.post(path, json=train_job(name)), 404)


def test_status_is_validated(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    message = refused(api.patch(TRAIN, name, {"status": {"phase": "Dancing"}}, subresource="status"), 422)
    assert "status.phase" in message


def test_unknown_status_field_is_removed(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    patch = {"status": {"phase": "Queued", "mood": "fine"}}
    assert ok(api.patch(TRAIN, name, patch, subresource="status"))["status"] == {"phase": "Queued"}
