"""The patch types: JSON merge (RFC 7386), JSON (RFC 6902), and for built-in kinds strategic merge."""

from collections.abc import Callable

from support.kube_api import JSON_PATCH, MERGE, STRATEGIC, Api, Json, ok, refused

GENERATE = "generatejobs.darkroom.dev/v1alpha1"


def labels(document: Json) -> dict[str, str]:
    found: dict[str, str] = document["metadata"].get("labels", {})
    return found


def test_merge_patch_sets_some_fields_and_keeps_the_others(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    made = api.made(GENERATE, generate_job(name, priority=2))
    after = ok(api.patch(GENERATE, name, {"spec": {"backoffLimit": 5}}))
    assert after["spec"] == {**made["spec"], "backoffLimit": 5}


def test_null_in_a_merge_patch_removes_a_field(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name, activeDeadlineSeconds=60))
    ok(api.patch(GENERATE, name, {"metadata": {"labels": {"a": "1", "b": "2"}}}))
    after = ok(
        api.patch(GENERATE, name, {"metadata": {"labels": {"a": None}}, "spec": {"activeDeadlineSeconds": None}})
    )
    assert labels(after) == {"b": "2"}
    assert "activeDeadlineSeconds" not in after["spec"]


def test_removed_field_gets_its_default(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name, backoffLimit=5))
    assert ok(api.patch(GENERATE, name, {"spec": {"backoffLimit": None}}))["spec"]["backoffLimit"] == 2


def test_merge_patch_replaces_whole_lists(api: Api, name: str) -> None:
    api.made("configmaps", {"metadata": {"name": name, "finalizers": ["darkroom.dev/a", "darkroom.dev/b"]}})
    after = ok(api.patch("configmaps", name, {"metadata": {"finalizers": ["darkroom.dev/c"]}}))
    assert after["metadata"]["finalizers"] == ["darkroom.dev/c"]
    ok(api.patch("configmaps", name, {"metadata": {"finalizers": None}}))


def test_json_patch_adds_replaces_and_removes(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name, activeDeadlineSeconds=60))
    patch = [
        {"op": "add", "path": "/metadata/labels", "value": {"darkroom.dev/a": "1"}},
        {"op": "add", "path": "/metadata/labels/darkroom.dev~1b", "value": "2"},
        {"op": "replace", "path": "/spec/priority", "value": 7},
        {"op": "remove", "path": "/spec/activeDeadlineSeconds"},
    ]
    after = ok(api.patch(GENERATE, name, patch, JSON_PATCH))
    assert labels(after) == {"darkroom.dev/a": "1", "darkroom.dev/b": "2"}
    assert after["spec"]["priority"] == 7
    assert "activeDeadlineSeconds" not in after["spec"]


def test_json_patch_of_a_missing_field_is_rejected(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    refused(api.patch(GENERATE, name, [{"op": "remove", "path": "/spec/nothing"}], JSON_PATCH), 422)


def test_strategic_patch_merges_lists_by_their_key(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    containers = [{"name": each, "image": f"registry.invalid/{each}:1"} for each in ("one", "two")]
    api.made("pods", gated_pod(name, containers=containers))
    patch = {"spec": {"containers": [{"name": "two", "image": "registry.invalid/two:2"}]}}
    after = ok(api.patch("pods", name, patch, STRATEGIC))
    images = {each["name"]: each["image"] for each in after["spec"]["containers"]}
    assert images == {"one": "registry.invalid/one:1", "two": "registry.invalid/two:2"}


def test_strategic_patch_deletes_an_item_by_its_key(api: Api, name: str, gated_pod: Callable[..., Json]) -> None:
    gates = [{"name": "darkroom.dev/one"}, {"name": "darkroom.dev/two"}]
    api.made("pods", gated_pod(name, schedulingGates=gates))
    patch = {"spec": {"schedulingGates": [{"name": "darkroom.dev/one", "$patch": "delete"}]}}
    after = ok(api.patch("pods", name, patch, STRATEGIC))
    assert after["spec"]["schedulingGates"] == [{"name": "darkroom.dev/two"}]


def test_custom_kinds_do_not_support_strategic_patches(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    refused(api.patch(GENERATE, name, {"spec": {"priority": 1}}, STRATEGIC), 415, "UnsupportedMediaType")


def test_unknown_patch_type_is_rejected(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    refused(api.patch(GENERATE, name, {}, "application/json"), 415, "UnsupportedMediaType")


def test_malformed_patch_is_rejected(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    answer = api.http.patch(api.path(GENERATE, name), content=b"{", headers={"Content-Type": MERGE})
    refused(answer, 400, "BadRequest")


def test_patch_must_not_rename_an_object(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    assert api.patch(GENERATE, name, {"metadata": {"name": f"{name}-new"}}).status_code in (400, 422)
    assert not api.exists(GENERATE, f"{name}-new")


def test_patch_that_violates_the_schema_changes_nothing(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = api.made(GENERATE, generate_job(name))
    refused(api.patch(GENERATE, name, {"spec": {"priority": 5000}}), 422, "Invalid")
    assert api.read(GENERATE, name) == made


def test_dry_run_validates_and_writes_nothing(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = api.made(GENERATE, generate_job(name))
    assert ok(api.patch(GENERATE, name, {"spec": {"priority": 5}}, dryRun="All"))["spec"]["priority"] == 5
    refused(api.patch(GENERATE, name, {"spec": {"priority": 5000}}, dryRun="All"), 422, "Invalid")
    assert ok(api.create(GENERATE, generate_job(f"{name}-two"), dryRun="All"), 201)["spec"]["priority"] == 0
    assert not api.exists(GENERATE, f"{name}-two")
    assert api.read(GENERATE, name) == made
