"""Optimistic concurrency: of two writers that read the same version one succeeds, and the other gets a conflict."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.kube_api import JSON_PATCH, Api, Json, ok, refused

TRAIN = "trainjobs.darkroom.dev/v1alpha1"
WRITERS, ROUNDS = 6, 5


def version(document: Json) -> int:
    return int(document["metadata"]["resourceVersion"])


def test_name_is_unique(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    message = refused(api.create(TRAIN, train_job(name)), 409, "AlreadyExists")
    assert message == f'trainjobs.darkroom.dev "{name}" already exists'


def test_exactly_one_of_many_concurrent_creates_succeeds(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(lambda _: api.create(TRAIN, train_job(name)).status_code, range(WRITERS)))
    assert sorted(answers) == [201] + [409] * (WRITERS - 1)


def test_every_write_increases_the_resource_version(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    made = version(api.made(TRAIN, train_job(name)))
    patched = [version(ok(api.patch(TRAIN, name, {"spec": {"priority": each}}))) for each in (1, 2, 3)]
    listed = int(ok(api.get(TRAIN))["metadata"]["resourceVersion"])
    assert made < patched[0] < patched[1] < patched[2] <= listed


def test_update_with_a_stale_version_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    old = api.made(TRAIN, train_job(name))
    ok(api.patch(TRAIN, name, {"spec": {"priority": 1}}))
    old["spec"]["priority"] = 2
    message = refused(api.replace(TRAIN, old), 409, "Conflict")
    assert "the object has been modified" in message
    assert api.read(TRAIN, name)["spec"]["priority"] == 1


def test_update_without_a_version_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    assert "must be specified for an update" in refused(api.replace(TRAIN, train_job(name)), 422, "Invalid")


def test_patch_with_a_stale_version_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    old = api.made(TRAIN, train_job(name))
    ok(api.patch(TRAIN, name, {"spec": {"priority": 1}}))
    stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "spec": {"priority": 2}}
    refused(api.patch(TRAIN, name, stale), 409, "Conflict")


def test_patch_with_the_current_version_succeeds(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    made = api.made(TRAIN, train_job(name))
    patch = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"priority": 2}}
    assert ok(api.patch(TRAIN, name, patch))["spec"]["priority"] == 2


def test_patch_with_the_uid_of_another_object_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    first = api.made(TRAIN, train_job(name))
    ok(api.delete(TRAIN, name))
    api.made(TRAIN, train_job(name))
    patch = {"metadata": {"uid": first["metadata"]["uid"]}, "spec": {"priority": 2}}
    assert "metadata.uid" in refused(api.patch(TRAIN, name, patch), 422, "Invalid")


def test_update_with_the_uid_of_another_object_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    first = api.made(TRAIN, train_job(name))
    ok(api.delete(TRAIN, name))
    second = api.made(TRAIN, train_job(name))
    second["metadata"]["uid"] = first["metadata"]["uid"]
    refused(api.http.put(api.path(TRAIN, name), json=second), 409, "Conflict")


def test_gate_is_not_removed_from_another_pod_with_the_same_name(
    api: Api, name: str, gated_pod: Callable[..., Json]
) -> None:
    first = api.made("pods", gated_pod(name))
    ok(api.delete("pods", name))
    api.made("pods", gated_pod(name))
    patch = {"metadata": {"uid": first["metadata"]["uid"]}, "spec": {"schedulingGates": None}}
    assert "metadata.uid" in refused(api.patch("pods", name, patch), 422, "Invalid")
    assert api.read("pods", name)["spec"]["schedulingGates"]


def test_json_patch_with_a_failed_test_changes_nothing(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "replace", "path": "/spec/priority", "value": 5},
    ]
    refused(api.patch(TRAIN, name, patch, JSON_PATCH), 422)
    assert api.read(TRAIN, name)["spec"]["priority"] == 0


def test_patch_without_changes_writes_nothing(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    made = api.made(TRAIN, train_job(name, priority=3))
    assert version(ok(api.patch(TRAIN, name, {"spec": {"priority": 3}}))) == version(made)


def test_writers_that_retry_lose_no_update(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))

    def count_up(_: Any) -> None:
        for _ in range(ROUNDS):
            while True:
                seen = api.read(TRAIN, name)
                seen["spec"]["priority"] += 1
                answer = api.replace(TRAIN, seen)
                if answer.status_code == 200:
                    break
                refused(answer, 409, "Conflict")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(count_up, range(WRITERS)))
    assert api.read(TRAIN, name)["spec"]["priority"] == WRITERS * ROUNDS


def test_delete_with_the_uid_of_another_object_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    other = "00000000-0000-0000-0000-000000000000"
    refused(api.delete(TRAIN, name, preconditions={"uid": other}), 409, "Conflict")
    assert api.exists(TRAIN, name)


def test_delete_with_a_stale_version_is_rejected(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    old = api.made(TRAIN, train_job(name))
    ok(api.patch(TRAIN, name, {"spec": {"priority": 1}}))
    stale = {"resourceVersion": old["metadata"]["resourceVersion"]}
    refused(api.delete(TRAIN, name, preconditions=stale), 409, "Conflict")
    assert api.exists(TRAIN, name)


def test_new_object_must_not_have_a_resource_version(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    document = train_job(name)
    document["metadata"]["resourceVersion"] = "7"
    answer = api.create(TRAIN, document)
    assert answer.status_code >= 400
    assert "resourceVersion should not be set on objects to be created" in answer.json()["message"]


def test_spec_and_status_are_updated_separately(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    made = api.made(TRAIN, train_job(name) | {"status": {"phase": "Succeeded"}})
    assert "status" not in made
    both = {"spec": {"priority": 9}, "status": {"phase": "Running"}}

    after_status = ok(api.patch(TRAIN, name, both, subresource="status"))
    assert (after_status["spec"]["priority"], after_status["status"]["phase"]) == (0, "Running")
    assert after_status["metadata"]["generation"] == 1

    after_spec = ok(api.patch(TRAIN, name, {**both, "status": {"phase": "Failed"}}))
    assert (after_spec["spec"]["priority"], after_spec["status"]["phase"]) == (9, "Running")
    assert after_spec["metadata"]["generation"] == 2


def test_status_update_does_not_change_labels_and_spec(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    made = api.made(TRAIN, train_job(name))
    made["status"] = {"phase": "Queued"}
    made["spec"]["priority"] = 4
    after = ok(api.replace(TRAIN, made, "status"))
    assert after["status"] == {"phase": "Queued"}
    assert after["spec"]["priority"] == 0


def test_labels_do_not_increase_the_generation(api: Api, name: str, train_job: Callable[..., Json]) -> None:
    api.made(TRAIN, train_job(name))
    assert ok(api.patch(TRAIN, name, {"metadata": {"labels": {"a": "b"}}}))["metadata"]["generation"] == 1
