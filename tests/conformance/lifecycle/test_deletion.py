"""Deletion: finalizers, and namespaces with their contents."""

from collections.abc import Callable

from support.kube_api import Api, Json, ok, refused, wait_until

GENERATE = "generatejobs.darkroom.dev/v1alpha1"
HOLD = "darkroom.dev/hold"


def held(document: Json, *finalizers: str) -> Json:
    return document | {"metadata": document["metadata"] | {"finalizers": list(finalizers or [HOLD])}}


def test_object_without_finalizers_is_removed_immediately(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    made = api.made(GENERATE, generate_job(name))
    answer = ok(api.delete(GENERATE, name))
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    assert answer["details"]["uid"] == made["metadata"]["uid"]
    refused(api.delete(GENERATE, name), 404, "NotFound")


def test_finalizer_keeps_an_object_until_it_is_removed(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, held(generate_job(name)))
    marked = ok(api.delete(GENERATE, name))
    assert marked["metadata"]["deletionTimestamp"]
    assert api.exists(GENERATE, name)

    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": None}}))
    assert not api.exists(GENERATE, name)


def test_second_delete_changes_nothing(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, held(generate_job(name)))
    first, second = ok(api.delete(GENERATE, name)), ok(api.delete(GENERATE, name))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": None}}))


def test_object_with_several_finalizers_waits_for_the_last(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    api.made(GENERATE, held(generate_job(name), "darkroom.dev/a", "darkroom.dev/b"))
    ok(api.delete(GENERATE, name))
    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": ["darkroom.dev/b"]}}))
    assert api.exists(GENERATE, name)
    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": []}}))
    assert not api.exists(GENERATE, name)


def test_finalizer_cannot_be_added_during_deletion(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, held(generate_job(name)))
    ok(api.delete(GENERATE, name))
    patch = {"metadata": {"finalizers": [HOLD, "darkroom.dev/late"]}}
    assert "metadata.finalizers" in refused(api.patch(GENERATE, name, patch), 422, "Invalid")
    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": None}}))


def test_object_being_deleted_can_still_be_updated(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, held(generate_job(name)))
    ok(api.delete(GENERATE, name))
    status = {"status": {"phase": "Failed"}}
    assert ok(api.patch(GENERATE, name, status, subresource="status"))["status"]["phase"] == "Failed"
    ok(api.patch(GENERATE, name, {"metadata": {"finalizers": None}}))


def test_deletion_timestamp_is_read_only(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    after = api.patch(GENERATE, name, {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}})
    assert after.status_code in (200, 422)
    assert "deletionTimestamp" not in api.read(GENERATE, name)["metadata"]


def test_dry_run_deletes_nothing(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    ok(api.delete(GENERATE, name, dryRun=["All"]))
    assert api.exists(GENERATE, name)


def test_namespace_is_deleted_with_its_contents(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    made = ok(api.http.post("/api/v1/namespaces", json={"metadata": {"name": name}}), 201)
    assert made["status"]["phase"] == "Active"
    jobs = api.path(GENERATE, namespace=name)
    ok(api.http.post(jobs, json=generate_job(name)), 201)

    ok(api.http.delete(f"/api/v1/namespaces/{name}"))

    wait_until(lambda: api.http.get(f"/api/v1/namespaces/{name}").status_code == 404, "the namespace is deleted", 120)
    assert ok(api.http.get(jobs))["items"] == []


def test_terminating_namespace_rejects_new_objects(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    ok(api.http.post("/api/v1/namespaces", json={"metadata": {"name": name}}), 201)
    jobs = api.path(GENERATE, namespace=name)
    ok(api.http.post(jobs, json=held(generate_job(name))), 201)
    ok(api.http.delete(f"/api/v1/namespaces/{name}"))

    assert "is being terminated" in refused(api.http.post(jobs, json=generate_job(f"{name}-late")), 403, "Forbidden")

    def release() -> bool:
        patch = {"metadata": {"finalizers": None}}
        headers = {"Content-Type": "application/merge-patch+json"}
        return api.http.patch(f"{jobs}/{name}", json=patch, headers=headers).status_code in (200, 404)

    wait_until(release, "the last object is released")
    wait_until(lambda: api.http.get(f"/api/v1/namespaces/{name}").status_code == 404, "the namespace is deleted", 120)
