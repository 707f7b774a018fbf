"""Server-side apply: field managers and conflicts."""

from collections.abc import Callable

from support.kube_api import Api, Json, ok, refused

GENERATE = "generatejobs.darkroom.dev/v1alpha1"
INSTANT = "2026-01-02T03:04:05Z"


def managers(document: Json) -> dict[str, str]:
    return {each["manager"]: each["operation"] for each in document["metadata"]["managedFields"]}


def condition(kind: str, status: str = "True") -> Json:
    return {"type": kind, "status": status, "reason": "Because", "lastTransitionTime": INSTANT}


def test_apply_creates_a_missing_object(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = ok(api.apply(GENERATE, generate_job(name), "one"), 201)
    assert made["spec"]["backoffLimit"] == 2
    assert managers(made) == {"one": "Apply"}


def test_applying_the_same_object_again_writes_nothing(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = ok(api.apply(GENERATE, generate_job(name), "one"), 201)
    again = ok(api.apply(GENERATE, generate_job(name), "one"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_field_no_longer_applied_is_removed(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    ok(api.apply(GENERATE, generate_job(name, activeDeadlineSeconds=60, priority=3), "one"), 201)
    after = ok(api.apply(GENERATE, generate_job(name), "one"))
    assert "activeDeadlineSeconds" not in after["spec"]
    assert after["spec"]["priority"] == 0


def test_field_of_another_manager_is_kept(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    document = generate_job(name, priority=3)
    ok(api.apply(GENERATE, document, "one"), 201)
    ok(api.apply(GENERATE, document, "two"))
    assert ok(api.apply(GENERATE, generate_job(name), "one"))["spec"]["priority"] == 3


def test_changing_a_field_of_another_manager_is_a_conflict(
    api: Api, name: str, generate_job: Callable[..., Json]
) -> None:
    ok(api.apply(GENERATE, generate_job(name, priority=3), "one"), 201)
    message = refused(api.apply(GENERATE, generate_job(name, priority=4), "two"), 409, "Conflict")
    assert "Apply failed with 1 conflict" in message
    assert 'conflict with "one"' in message
    assert ".spec.priority" in message
    assert api.read(GENERATE, name)["spec"]["priority"] == 3


def test_force_takes_over_a_field(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    ok(api.apply(GENERATE, generate_job(name, priority=3), "one"), 201)
    ok(api.apply(GENERATE, generate_job(name, priority=4), "two", force="true"))
    message = refused(api.apply(GENERATE, generate_job(name, priority=5), "one"), 409, "Conflict")
    assert 'conflict with "two"' in message


def test_updated_field_belongs_to_the_updating_manager(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    ok(api.apply(GENERATE, generate_job(name, priority=3), "one"), 201)
    ok(api.patch(GENERATE, name, {"spec": {"priority": 9}}, fieldManager="editor"))
    message = refused(api.apply(GENERATE, generate_job(name, priority=3), "one"), 409, "Conflict")
    assert 'conflict with "editor"' in message


def test_two_managers_keep_their_own_labels(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    ok(api.apply(GENERATE, generate_job(name), "one"), 201)
    only_label = {"apiVersion": "darkroom.dev/v1alpha1", "kind": "GenerateJob", "metadata": {"name": name}}
    for manager, label in (("red", "a"), ("blue", "b")):
        labelled = only_label | {"metadata": {"name": name, "labels": {label: manager}}}
        ok(api.apply(GENERATE, labelled, manager))
    after = ok(api.apply(GENERATE, only_label, "red"))
    assert after["metadata"]["labels"] == {"b": "blue"}
    assert after["spec"]["prompt"] == "a red circle"


def test_conditions_are_merged_by_type(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    document = {"apiVersion": "darkroom.dev/v1alpha1", "kind": "GenerateJob", "metadata": {"name": name}}
    for manager, kind in (("one", "Admitted"), ("two", "PodReady")):
        status = {"conditions": [condition(kind)]}
        ok(api.apply(GENERATE, document | {"status": status}, manager, "status"))
    changed = {"conditions": [condition("Admitted", "False")]}
    after = ok(api.apply(GENERATE, document | {"status": changed}, "one", "status"))
    statuses = {each["type"]: each["status"] for each in after["status"]["conditions"]}
    assert statuses == {"Admitted": "False", "PodReady": "True"}


def test_applied_status_does_not_change_the_spec(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    api.made(GENERATE, generate_job(name))
    document = generate_job(name, priority=8) | {"status": {"phase": "Queued"}}
    after = ok(api.apply(GENERATE, document, "one", "status"))
    assert (after["status"]["phase"], after["spec"]["priority"]) == ("Queued", 0)


def test_unknown_field_is_rejected_by_name(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    answer = api.apply(GENERATE, generate_job(name, colour="red"), "one")
    assert answer.status_code >= 400
    assert "spec.colour" in answer.json()["message"]
    assert not api.exists(GENERATE, name)


def test_apply_with_a_stale_version_is_rejected(api: Api, name: str, generate_job: Callable[..., Json]) -> None:
    made = ok(api.apply(GENERATE, generate_job(name), "one"), 201)
    ok(api.patch(GENERATE, name, {"spec": {"priority": 1}}))
    stale = generate_job(name, backoffLimit=1)
    stale["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
    refused(api.apply(GENERATE, stale, "one"), 409, "Conflict")


def test_apply_works_for_built_in_kinds(api: Api, name: str) -> None:
    def lease(seconds: int) -> Json:
        spec = {"holderIdentity": "me", "leaseDurationSeconds": seconds}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}

    ok(api.apply("leases.coordination.k8s.io/v1", lease(15), "one"), 201)
    assert ok(api.apply("leases.coordination.k8s.io/v1", lease(30), "one"))["spec"]["leaseDurationSeconds"] == 30
