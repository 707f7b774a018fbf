"""Owner references: what happens to a job's pods when the job is deleted."""

from collections.abc import Callable

from support.kube_api import Api, Json, ok, wait_until

GENERATE = "generatejobs.darkroom.dev/v1alpha1"
HOLD = "darkroom.dev/hold"


def owned_by(owner: Json, document: Json, **more: object) -> Json:
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return document | {"metadata": document["metadata"] | {"ownerReferences": [reference], **more}}


def test_object_is_deleted_with_its_owner(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    owner = api.made(GENERATE, generate_job(name))
    api.made("pods", owned_by(owner, gated_pod(name)))
    ok(api.delete(GENERATE, name, propagationPolicy="Background"))
    assert not api.exists(GENERATE, name)
    api.wait_gone("pods", name)


def test_background_deletion_is_the_default(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    owner = api.made(GENERATE, generate_job(name))
    api.made("pods", owned_by(owner, gated_pod(name)))
    ok(api.delete(GENERATE, name))
    api.wait_gone("pods", name)


def test_foreground_deletion_waits_for_dependents(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    owner = api.made(GENERATE, generate_job(name))
    api.made("pods", owned_by(owner, gated_pod(name), finalizers=[HOLD]))
    marked = ok(api.delete(GENERATE, name, propagationPolicy="Foreground"))
    assert "foregroundDeletion" in marked["metadata"]["finalizers"]

    wait_until(lambda: "deletionTimestamp" in api.read("pods", name)["metadata"], "the pod is being deleted")
    assert api.exists(GENERATE, name)

    ok(api.patch("pods", name, {"metadata": {"finalizers": None}}))
    api.wait_gone("pods", name)
    api.wait_gone(GENERATE, name)


def test_orphaned_dependents_stay_without_an_owner(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    owner = api.made(GENERATE, generate_job(name))
    api.made("pods", owned_by(owner, gated_pod(name)))
    ok(api.delete(GENERATE, name, propagationPolicy="Orphan"))
    api.wait_gone(GENERATE, name)
    assert not api.read("pods", name)["metadata"].get("ownerReferences")


def test_object_created_after_its_owner_was_deleted_is_deleted(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    owner = api.made(GENERATE, generate_job(name))
    ok(api.delete(GENERATE, name))
    api.made("pods", owned_by(owner, gated_pod(name)))
    api.wait_gone("pods", name)


def test_owner_with_the_same_name_but_another_uid_does_not_count(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    first = api.made(GENERATE, generate_job(name))
    ok(api.delete(GENERATE, name))
    api.made(GENERATE, generate_job(name))
    api.made("pods", owned_by(first, gated_pod(name)))
    api.wait_gone("pods", name)
    assert api.exists(GENERATE, name)


def test_object_with_a_remaining_owner_is_kept(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    one, two = (api.made(GENERATE, generate_job(f"{name}-{number}")) for number in (1, 2))
    shared = owned_by(one, gated_pod(name))
    second = {**owned_by(two, gated_pod(name))["metadata"]["ownerReferences"][0], "controller": False}
    shared["metadata"]["ownerReferences"].append(second)
    api.made("pods", shared)
    alone = owned_by(one, gated_pod(f"{name}-alone"))
    api.made("pods", alone)

    ok(api.delete(GENERATE, f"{name}-1"))

    api.wait_gone("pods", f"{name}-alone")
    assert api.exists("pods", name)
    ok(api.delete("pods", name))


def test_chain_of_owners_is_deleted(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    job = api.made(GENERATE, generate_job(name))
    pod = api.made("pods", owned_by(job, gated_pod(name)))
    api.made("configmaps", owned_by({"apiVersion": "v1", "kind": "Pod", **pod}, {"metadata": {"name": name}}))
    ok(api.delete(GENERATE, name))
    api.wait_gone("pods", name)
    api.wait_gone("configmaps", name)


def test_pod_with_a_new_owner_is_deleted_with_that_one_only(
    api: Api,
    name: str,
    generate_job: Callable[..., Json],
    bound_pod: Callable[..., Json],
    gated_pod: Callable[..., Json],
) -> None:
    """A hand-over moves the owner reference to the next job; the first job may be deleted at any time.

    The witness is deleted in the round of garbage collection in which the pod would be, too.
    """
    first, second = (api.made(GENERATE, generate_job(f"{name}-{number}")) for number in (1, 2))
    pod = bound_pod(name)
    for owner in (first, second):
        moved = owned_by(owner, {"metadata": {}})["metadata"]
        version = api.read("pods", name)["metadata"]["resourceVersion"]
        pod = ok(api.patch("pods", name, {"metadata": moved | {"resourceVersion": version}}))
    assert [each["uid"] for each in pod["metadata"]["ownerReferences"]] == [second["metadata"]["uid"]]

    witness = api.made("pods", owned_by(first, gated_pod(f"{name}-witness")))
    ok(api.delete(GENERATE, f"{name}-1"))
    api.wait_gone("pods", witness["metadata"]["name"])
    assert "deletionTimestamp" not in api.read("pods", name)["metadata"]

    ok(api.delete(GENERATE, f"{name}-2"))
    wait_until(lambda: "deletionTimestamp" in api.read("pods", name)["metadata"], "the pod is deleted")
    api.delete("pods", name, gracePeriodSeconds=0)


def test_foreground_deletion_of_the_old_owner_spares_a_pod_with_a_new_one(
    api: Api, name: str, generate_job: Callable[..., Json], gated_pod: Callable[..., Json]
) -> None:
    first, second = (api.made(GENERATE, generate_job(f"{name}-{number}")) for number in (1, 2))
    api.made("pods", owned_by(first, gated_pod(name)))
    ok(api.patch("pods", name, {"metadata": owned_by(second, {"metadata": {}})["metadata"]}))

    ok(api.delete(GENERATE, f"{name}-1", propagationPolicy="Foreground"))

    api.wait_gone(GENERATE, f"{name}-1")
    assert "deletionTimestamp" not in api.read("pods", name)["metadata"]
    ok(api.delete("pods", name))
