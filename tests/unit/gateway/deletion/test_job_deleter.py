"""`DELETE /jobs/{task_id}?files=true` deletes all files of the job and no others, despite crashes at any step."""

import contextlib
import json
import secrets
from typing import Any

import pytest
import redis
from support.isolated_namespace import (
    BUCKET,
    RUN_FILES,
    IsolatedNamespace,
    finalizers,
    uri_of,
)
from support.waiting import waiter

from darkroom_contract.names import FINALIZER_FILES, Kind
from darkroom_contract.progress import stream_name
from darkroom_contract.storage.keys import run_prefix
from darkroom_gateway.deletion.deletable_job import owned_datasets, read_deletable_job
from darkroom_gateway.errors import AlreadyDeletingError, UnknownTaskError

wait_until = waiter(30)

WEIGHTS = "pytorch_lora_weights.safetensors"


@pytest.mark.parametrize("kind", list(Kind))
def test_job_is_deleted_with_its_files(
    isolated: IsolatedNamespace, gateway_of: Any, redis_url: str, kind: Kind
) -> None:
    prefix = isolated.dataset()
    uid = isolated.training("job", uri_of(prefix))
    if kind is Kind.GENERATE:
        uid = isolated.api.create(kind, "job", {"prompt": "a dog"})["metadata"]["uid"]
        early = "job-seed-0.png"  # Its run has failed before all images were finished.
        isolated.store(*(run_prefix(uid) + each for each in (*RUN_FILES, early)))
    with redis.Redis.from_url(redis_url) as client, gateway_of(isolated) as gateway:
        client.xadd(stream_name(uid), {"event": "{}"})

        answer = gateway.http.delete("/jobs/job", params={"files": "true", "kind": kind.value})

        assert (answer.status_code, answer.text) == (204, "")
        assert client.exists(stream_name(uid)) == 0
    assert not isolated.api.exists(kind, "job")
    assert isolated.keys(run_prefix(uid)) == []
    assert (isolated.keys(prefix) == []) == (kind is Kind.TRAIN)


def test_files_are_kept_by_default(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = isolated.dataset()
    uid = isolated.training("job", uri_of(prefix))
    with gateway_of(isolated) as gateway:
        assert gateway.http.delete("/jobs/job").status_code == 204
        assert gateway.http.delete("/jobs/job", params={"files": "true"}).status_code == 404

    assert len(isolated.keys(prefix)) == 2
    assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES)


def test_files_are_kept_while_a_run_may_use_them(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = isolated.dataset()
    uid = isolated.training("job", uri_of(prefix), finished=False)
    isolated.api.set_status(Kind.TRAIN, "job", phase="Running", attempts=1, slot=0)
    with gateway_of(isolated) as gateway:
        answer = gateway.http.delete("/jobs/job", params={"files": "true"})

        assert answer.status_code == 202
        assert (answer.json()["deleting"], answer.json()["deletes_files"]) == (True, True)
        assert isolated.proceed() == []
        assert len(isolated.keys(prefix)) == 2
        # Repeated, as by a client that got no response.
        assert gateway.http.delete("/jobs/job", params={"files": "true"}).status_code == 202

        isolated.api.set_status(Kind.TRAIN, "job", phase="Queued", slot=None)
        wait_until(lambda: gateway.http.get("/jobs/job").status_code == 404, "the job is gone")
    assert isolated.keys(prefix) == isolated.keys(run_prefix(uid)) == []


def test_files_are_kept_while_the_job_holds_a_slot(isolated: IsolatedNamespace) -> None:
    """The slot is freed when the pod has ended, possibly after the status has its completion."""
    uid = isolated.training("job", uri_of(isolated.dataset()))
    isolated.lease("darkroom-slot-0", "TrainJob/job")
    isolated.request(Kind.TRAIN, "job")

    assert isolated.proceed() == []
    isolated.lease("darkroom-slot-0", None)
    assert isolated.proceed() == [uid]


def test_model_of_a_deleted_training_stays_usable(isolated: IsolatedNamespace) -> None:
    uid = isolated.training("job", uri_of(isolated.dataset()))
    isolated.model(uid)
    isolated.request(Kind.TRAIN, "job")

    assert isolated.proceed() == [uid]
    assert isolated.keys(run_prefix(uid)) == [run_prefix(uid) + each for each in ("dog.safetensors", WEIGHTS)]
    assert len(isolated.keys(f"models/{isolated.namespace}/")) == 1


def test_superseded_lora_is_deleted_with_its_training(isolated: IsolatedNamespace) -> None:
    old, new = (isolated.training(name, uri_of(isolated.dataset())) for name in ("old", "new"))
    isolated.model(new)
    isolated.request(Kind.TRAIN, "old")

    isolated.proceed()
    assert isolated.keys(run_prefix(old)) == []
    assert len(isolated.keys(run_prefix(new))) == len(RUN_FILES)


def test_photos_shared_with_another_job_are_kept_until_it_is_deleted(isolated: IsolatedNamespace) -> None:
    prefix = isolated.dataset()
    isolated.training("first", uri_of(prefix))
    isolated.training("second", uri_of(prefix).rstrip("/"), finished=False)

    isolated.request(Kind.TRAIN, "first")
    isolated.proceed()
    assert not isolated.api.exists(Kind.TRAIN, "first")
    assert len(isolated.keys(prefix)) == 2

    isolated.request(Kind.TRAIN, "second")
    isolated.proceed()
    assert isolated.keys(prefix) == []


def test_photos_of_two_jobs_that_are_deleted_together_are_removed(isolated: IsolatedNamespace) -> None:
    prefix = isolated.dataset()
    isolated.training("ended", uri_of(prefix))
    isolated.training("running", uri_of(prefix), finished=False)
    isolated.api.set_status(Kind.TRAIN, "running", phase="Running", slot=0)
    for name in ("ended", "running"):
        isolated.request(Kind.TRAIN, name)

    assert isolated.proceed() == []
    assert len(isolated.keys(prefix)) == 2
    isolated.api.set_status(Kind.TRAIN, "running", phase="Queued", slot=None)
    assert len(isolated.proceed()) == 2
    assert isolated.keys(prefix) == []


def test_photos_outside_the_deployments_datasets_are_kept(isolated: IsolatedNamespace) -> None:
    with contextlib.suppress(isolated.s3.exceptions.BucketAlreadyOwnedByYou):
        isolated.s3.create_bucket(Bucket="elsewhere")
    inside = isolated.dataset()
    isolated.s3.put_object(Bucket="elsewhere", Key=f"{inside}000.jpg", Body=b"x")
    others = [
        f"photos/{isolated.namespace}/000.jpg",
        f"datasets/not-{isolated.namespace}/x/000.jpg",
        f"{inside}below/1.jpg",
    ]
    isolated.store(*others)
    isolated.training("foreign", f"s3://elsewhere/{inside}")
    isolated.training("handmade", uri_of(f"photos/{isolated.namespace}/"))
    isolated.training("neighbour", uri_of(f"datasets/not-{isolated.namespace}/x/"))
    for name in ("foreign", "handmade", "neighbour"):
        isolated.request(Kind.TRAIN, name)

    assert len(isolated.proceed()) == 3
    assert len(isolated.keys(inside)) == 3
    assert isolated.s3.list_objects_v2(Bucket="elsewhere", Prefix=inside)["KeyCount"] == 1
    for key in others:
        assert isolated.keys(key) == [key]

    isolated.training("own", uri_of(inside))
    isolated.request(Kind.TRAIN, "own")
    isolated.proceed()
    assert isolated.keys(inside) == [f"{inside}below/1.jpg"]  # Not a part of the dataset: a training reads no folders.


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("s3://darkroom/datasets/team/x", ("datasets/team/x/",)),
        ("s3://darkroom/datasets/team/x/", ("datasets/team/x/",)),
        ("s3://darkroom/datasets/team/x/y/", ("datasets/team/x/y/",)),
        ("s3://darkroom/datasets/team/", ()),
        ("s3://darkroom/datasets/team/../other/x/", ()),
        ("s3://darkroom/datasets/team//x/", ()),
        ("s3://darkroom/datasets/team-b/x/", ()),
        ("s3://darkroom/runs/1/", ()),
        ("s3://darkroom2/datasets/team/x/", ()),
    ],
)
def test_owned_datasets_are_only_prefixes_of_the_deployment(uri: str, found: tuple[str, ...]) -> None:
    document = {"metadata": {"name": "a", "uid": "1", "resourceVersion": "1"}, "spec": {"dataset": {"uri": uri}}}

    assert owned_datasets(read_deletable_job(Kind.TRAIN, document), BUCKET, "team") == found


def test_label_set_with_kubectl_deletes_files(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = isolated.dataset()
    uid = isolated.training(
        "job", uri_of(prefix), labels={"darkroom.dev/delete-files": "true"}, finalizers=["x.dev/keep"]
    )
    with gateway_of(isolated) as gateway:
        wait_until(lambda: FINALIZER_FILES in finalizers(isolated), "a gateway holds the job")
        assert gateway.http.get("/jobs/job").json()["deletes_files"] is True
        isolated.api.delete(Kind.TRAIN, "job")
        wait_until(lambda: finalizers(isolated) == ["x.dev/keep"], "its files are gone, and others may keep it")
    assert isolated.keys(prefix) == isolated.keys(run_prefix(uid)) == []
    isolated.api.set_finalizers(Kind.TRAIN, "job", [])


def test_job_without_its_label_is_found_by_its_finalizer(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = isolated.dataset()
    isolated.training("job", uri_of(prefix), finalizers=[FINALIZER_FILES])
    isolated.api.delete(Kind.TRAIN, "job")

    with gateway_of(isolated):
        wait_until(lambda: not isolated.api.exists(Kind.TRAIN, "job"), "the first sweep finds it")
    assert isolated.keys(prefix) == []


def test_files_can_not_be_added_to_a_deletion_in_progress(isolated: IsolatedNamespace, gateway_of: Any) -> None:
    isolated.training("job", uri_of(isolated.dataset()), finalizers=["x.dev/keep"])
    isolated.api.delete(Kind.TRAIN, "job")
    with gateway_of(isolated) as gateway:
        answer = gateway.http.delete("/jobs/job", params={"files": "true"})

    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "AlreadyDeleting")
    with pytest.raises(AlreadyDeletingError, match="without its files"):
        isolated.request(Kind.TRAIN, "job")
    isolated.api.set_finalizers(Kind.TRAIN, "job", [])


def test_job_that_was_deleted_concurrently_is_reported_without_its_files(isolated: IsolatedNamespace) -> None:
    uid = isolated.training("job", uri_of(isolated.dataset()))
    job = isolated.cluster.get(Kind.TRAIN, "job")
    assert job is not None
    isolated.api.delete(Kind.TRAIN, "job")

    with pytest.raises(
        UnknownTaskError, match=r"no longer exists\. If it was deleted without its files, they are still"
    ):
        isolated.job_deleter().request(job)
    assert len(isolated.keys(run_prefix(uid))) == len(RUN_FILES)


def test_unreadable_job_keeps_its_photos(isolated: IsolatedNamespace) -> None:
    prefix = isolated.dataset()
    isolated.training("first", uri_of(prefix))
    document = {"metadata": {"name": "b", "uid": "2", "resourceVersion": "1"}, "status": {"phase": "Of tomorrow"}}

    other = read_deletable_job(Kind.TRAIN, {**document, "spec": {"dataset": {"uri": uri_of(prefix)}}})

    assert not other.finished
    assert owned_datasets(other, BUCKET, isolated.namespace) == (prefix,)


def test_more_files_than_one_listing_returns_are_all_deleted(isolated: IsolatedNamespace, nanio_folder: Any) -> None:
    uid = secrets.token_hex(8)
    isolated.store(f"{run_prefix(uid)}0-first")
    folder = nanio_folder / BUCKET / run_prefix(uid)
    for number in range(1010):
        (folder / f"file-{number:04d}").write_bytes(b"x")
    storage = isolated.storage
    last = f"{run_prefix(uid)}file-1009"

    assert storage.first_keys(run_prefix(uid), suffix="1009") == [last]
    assert storage.delete_below(run_prefix(uid), keep={last}) == 1010
    assert isolated.keys(run_prefix(uid)) == [last]


def test_marking_retries_after_concurrent_status_updates(isolated: IsolatedNamespace) -> None:
    """The operator updates the status of a running job frequently."""
    isolated.training("job", uri_of(isolated.dataset()))
    job = isolated.job_deleter()._kube.get(Kind.TRAIN, "job")
    assert job is not None
    content = json.dumps({"metadata": {"labels": {"x": "y"}}})
    headers = {"Content-Type": "application/merge-patch+json"}
    isolated.api.http.patch(isolated.api.path(Kind.TRAIN, "job"), content=content, headers=headers)

    isolated.job_deleter().request(job)
    assert FINALIZER_FILES in finalizers(isolated)
    assert len(isolated.proceed()) == 1
