"""`DELETE /jobs/{task_id}?files=true`: nothing of the job stays, nothing of others goes, whatever dies in between."""

import contextlib
import json
import secrets
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from support.isolated_namespace import BUCKET, RUN_FILES, IsolatedNamespace, KilledError, KilledStorage
from support.silent_server import SilentServer
from support.waiting import patience

from darkroom_contract.names import FINALIZER_FILES, Kind
from darkroom_contract.progress import stream_name
from darkroom_contract.storage import dataset_uri, run_prefix
from darkroom_gateway.deletion.deletable_job import owned_dataset, read_deletable_job
from darkroom_gateway.deletion.job_deleter import JobDeleter
from darkroom_gateway.errors import AlreadyDeletingError, RejectedError, StorageUnavailableError, UnknownTaskError
from darkroom_gateway.events.progress_streams import ProgressStreams
from darkroom_gateway.kube.client import KubeClient
from darkroom_gateway.storage.client import ObjectStorage

wait_until = patience(30)

WEIGHTS = "pytorch_lora_weights.safetensors"


def uri_of(prefix: str) -> str:
    return dataset_uri(BUCKET, prefix)


@pytest.fixture
def gateway_of(start_gateway: Any, environment: dict[str, str]) -> Any:
    """Starts a gateway of a place."""

    def start(place: IsolatedNamespace, **changes: str) -> Any:
        return start_gateway({**environment, "DARKROOM_NAMESPACE": place.namespace, **changes})

    return start


@pytest.mark.parametrize("kind", list(Kind))
def test_job_is_deleted_with_its_files(place: IsolatedNamespace, gateway_of: Any, redis_url: str, kind: Kind) -> None:
    prefix = place.dataset()
    uid = place.training("job", uri_of(prefix))
    if kind is Kind.GENERATE:
        uid = place.api.create(kind, "job", {"prompt": "a dog"})["metadata"]["uid"]
        place.store(*(run_prefix(uid) + each for each in RUN_FILES))
    with redis.Redis.from_url(redis_url) as client, gateway_of(place) as gateway:
        client.xadd(stream_name(uid), {"event": "{}"})

        answer = gateway.http.delete("/jobs/job", params={"files": "true", "kind": kind.value})

        assert (answer.status_code, answer.text) == (204, "")
        assert client.exists(stream_name(uid)) == 0
    assert not place.api.exists(kind, "job")
    assert place.keys(run_prefix(uid)) == []
    assert (place.keys(prefix) == []) == (kind is Kind.TRAIN)


def test_files_are_kept_by_default(place: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = place.dataset()
    uid = place.training("job", uri_of(prefix))
    with gateway_of(place) as gateway:
        assert gateway.http.delete("/jobs/job").status_code == 204
        assert gateway.http.delete("/jobs/job", params={"files": "true"}).status_code == 404

    assert len(place.keys(prefix)) == 2
    assert len(place.keys(run_prefix(uid))) == len(RUN_FILES)


def test_files_are_kept_while_a_run_may_use_them(place: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = place.dataset()
    uid = place.training("job", uri_of(prefix), finished=False)
    place.api.set_status(Kind.TRAIN, "job", phase="Running", attempts=1, slot=0)
    with gateway_of(place) as gateway:
        answer = gateway.http.delete("/jobs/job", params={"files": "true"})

        assert answer.status_code == 202
        assert (answer.json()["deleting"], answer.json()["deletes_files"]) == (True, True)
        assert place.proceed() == []
        assert len(place.keys(prefix)) == 2
        # Asked once more, as by somebody who got no answer.
        assert gateway.http.delete("/jobs/job", params={"files": "true"}).status_code == 202

        place.api.set_status(Kind.TRAIN, "job", phase="Queued", slot=None)
        wait_until(lambda: gateway.http.get("/jobs/job").status_code == 404, "the job is gone")
    assert place.keys(prefix) == place.keys(run_prefix(uid)) == []


def test_files_are_kept_while_the_job_holds_a_slot(place: IsolatedNamespace) -> None:
    """The slot is freed when the pod is over, and that may be after the end was written into the status."""
    uid = place.training("job", uri_of(place.dataset()))
    place.lease("darkroom-slot-0", "TrainJob/job")
    place.request(Kind.TRAIN, "job")

    assert place.proceed() == []
    place.lease("darkroom-slot-0", None)
    assert place.proceed() == [uid]


def test_model_of_a_deleted_training_stays_usable(place: IsolatedNamespace) -> None:
    uid = place.training("job", uri_of(place.dataset()))
    place.model(uid)
    place.request(Kind.TRAIN, "job")

    assert place.proceed() == [uid]
    assert place.keys(run_prefix(uid)) == [run_prefix(uid) + WEIGHTS]
    assert len(place.keys(f"models/{place.namespace}/")) == 1


def test_superseded_lora_is_deleted_with_its_training(place: IsolatedNamespace) -> None:
    old, new = (place.training(name, uri_of(place.dataset())) for name in ("old", "new"))
    place.model(new)
    place.request(Kind.TRAIN, "old")

    place.proceed()
    assert place.keys(run_prefix(old)) == []
    assert len(place.keys(run_prefix(new))) == len(RUN_FILES)


def test_photos_shared_with_another_job_are_kept_until_it_is_deleted(place: IsolatedNamespace) -> None:
    prefix = place.dataset()
    place.training("first", uri_of(prefix))
    place.training("second", uri_of(prefix).rstrip("/"), finished=False)

    place.request(Kind.TRAIN, "first")
    place.proceed()
    assert not place.api.exists(Kind.TRAIN, "first")
    assert len(place.keys(prefix)) == 2

    place.request(Kind.TRAIN, "second")
    place.proceed()
    assert place.keys(prefix) == []


def test_photos_of_two_jobs_that_are_deleted_together_are_removed(place: IsolatedNamespace) -> None:
    prefix = place.dataset()
    place.training("ended", uri_of(prefix))
    place.training("running", uri_of(prefix), finished=False)
    place.api.set_status(Kind.TRAIN, "running", phase="Running", slot=0)
    for name in ("ended", "running"):
        place.request(Kind.TRAIN, name)

    assert place.proceed() == []
    assert len(place.keys(prefix)) == 2
    place.api.set_status(Kind.TRAIN, "running", phase="Queued", slot=None)
    assert len(place.proceed()) == 2
    assert place.keys(prefix) == []


def test_photos_outside_the_deployments_datasets_are_kept(place: IsolatedNamespace) -> None:
    with contextlib.suppress(place.s3.exceptions.BucketAlreadyOwnedByYou):
        place.s3.create_bucket(Bucket="elsewhere")
    inside = place.dataset()
    place.s3.put_object(Bucket="elsewhere", Key=f"{inside}000.jpg", Body=b"x")
    others = [f"photos/{place.namespace}/000.jpg", f"datasets/not-{place.namespace}/x/000.jpg", f"{inside}below/1.jpg"]
    place.store(*others)
    place.training("foreign", f"s3://elsewhere/{inside}")
    place.training("handmade", uri_of(f"photos/{place.namespace}/"))
    place.training("neighbour", uri_of(f"datasets/not-{place.namespace}/x/"))
    for name in ("foreign", "handmade", "neighbour"):
        place.request(Kind.TRAIN, name)

    assert len(place.proceed()) == 3
    assert len(place.keys(inside)) == 3
    assert place.s3.list_objects_v2(Bucket="elsewhere", Prefix=inside)["KeyCount"] == 1
    for key in others:
        assert place.keys(key) == [key]

    place.training("own", uri_of(inside))
    place.request(Kind.TRAIN, "own")
    place.proceed()
    assert place.keys(inside) == [f"{inside}below/1.jpg"]  # Not a part of the dataset: a training reads no folders.


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("s3://darkroom/datasets/team/x", "datasets/team/x/"),
        ("s3://darkroom/datasets/team/x/", "datasets/team/x/"),
        ("s3://darkroom/datasets/team/x/y/", "datasets/team/x/y/"),
        ("s3://darkroom/datasets/team/", None),
        ("s3://darkroom/datasets/team/../other/x/", None),
        ("s3://darkroom/datasets/team//x/", None),
        ("s3://darkroom/datasets/team-b/x/", None),
        ("s3://darkroom/runs/1/", None),
        ("s3://darkroom2/datasets/team/x/", None),
    ],
)
def test_owned_dataset_accepts_only_prefixes_of_the_deployment(uri: str, found: str | None) -> None:
    document = {"metadata": {"name": "a", "uid": "1", "resourceVersion": "1"}, "spec": {"dataset": {"uri": uri}}}

    assert owned_dataset(read_deletable_job(Kind.TRAIN, document), BUCKET, "team") == found


@pytest.mark.parametrize("changes", range(8))
def test_deletion_completes_after_a_crash_at_any_step(place: IsolatedNamespace, changes: int) -> None:
    """Two photos and four files of the run: six deletions. Whatever is left over, the job still stands for it."""
    prefix = place.dataset()
    uid = place.training("job", uri_of(prefix))
    place.request(Kind.TRAIN, "job")

    with contextlib.closing(KilledStorage(place.settings, changes)) as storage, contextlib.suppress(KilledError):
        place.proceed(storage)
    left = len(place.keys(prefix) + place.keys(run_prefix(uid)))
    assert left == max(0, 6 - changes)
    assert place.api.exists(Kind.TRAIN, "job") == (left > 0)

    assert place.proceed() == ([uid] if left else [])
    assert place.keys(prefix) == place.keys(run_prefix(uid)) == []
    assert not place.api.exists(Kind.TRAIN, "job")


def test_deletion_is_not_started_by_a_crash_between_label_and_delete(place: IsolatedNamespace) -> None:
    """Between the label and the deletion: nobody was answered, and nothing goes."""
    uid = place.training("job", uri_of(place.dataset()), labels={"darkroom.dev/delete-files": "true"})

    assert place.proceed() == []
    assert place.api.get(Kind.TRAIN, "job")["metadata"]["finalizers"] == [FINALIZER_FILES]
    assert len(place.keys(run_prefix(uid))) == len(RUN_FILES)


def test_deletion_survives_an_outage_of_storage_and_the_loss_of_its_gateway(
    place: IsolatedNamespace, gateway_of: Any, nowhere: str
) -> None:
    prefix = place.dataset()
    uid = place.training("job", uri_of(prefix))
    with gateway_of(place, DARKROOM_S3_ENDPOINT_URL=nowhere) as gateway:
        answer = gateway.http.delete("/jobs/job", params={"files": "true"})
        assert (answer.status_code, answer.json()["deleting"]) == (202, True)
        gateway.process.kill()
        gateway.process.wait()
    assert place.api.exists(Kind.TRAIN, "job")

    with gateway_of(place):
        wait_until(lambda: not place.api.exists(Kind.TRAIN, "job"), "another gateway completes it")
    assert place.keys(prefix) == place.keys(run_prefix(uid)) == []


def test_gateway_exits_while_storage_hangs(place: IsolatedNamespace, gateway_of: Any) -> None:
    """Whatever it waits for may be done by the next one."""
    place.training("job", uri_of(place.dataset()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with gateway_of(place, DARKROOM_S3_ENDPOINT_URL=endpoint) as gateway:
            assert gateway.http.delete("/jobs/job", params={"files": "true"}).status_code == 202
            begun = time.monotonic()
            gateway.process.terminate()
            gateway.process.wait(60)
            assert time.monotonic() - begun < 20  # A request to storage may take a minute.
    assert place.api.exists(Kind.TRAIN, "job")


def test_failure_of_one_job_does_not_delay_others(place: IsolatedNamespace) -> None:
    class Refusing(ObjectStorage):
        def delete_folder(self, prefix: str) -> int:
            if "bad" in prefix:
                raise StorageUnavailableError("AccessDenied")
            return super().delete_folder(prefix)

    uids = {name: place.training(name, uri_of(place.dataset(f"{name}-photos"))) for name in ("bad", "good")}
    for name in uids:
        place.request(Kind.TRAIN, name)

    with contextlib.closing(Refusing(place.settings)) as storage, pytest.raises(StorageUnavailableError):
        place.proceed(storage)
    assert not place.api.exists(Kind.TRAIN, "good")
    assert place.proceed() == [uids["bad"]]


def test_job_that_can_not_be_marked_does_not_delay_others(place: IsolatedNamespace) -> None:
    class Denying(KubeClient):
        def patch_metadata(self, kind: Kind, name: str, patch: dict[str, Any]) -> bool:
            if name == "denied":
                raise RejectedError(403, "an admission webhook denied the request")
            return super().patch_metadata(kind, name, patch)

    place.training("denied", uri_of(place.dataset()), labels={"darkroom.dev/delete-files": "true"})
    place.training("good", uri_of(place.dataset("dataset-of-good")))
    place.request(Kind.TRAIN, "good")

    with contextlib.closing(Denying(place.settings)) as cluster, pytest.raises(RejectedError):
        JobDeleter(cluster, place.storage).proceed(place.job_files().labelled())
    assert not place.api.exists(Kind.TRAIN, "good")


async def test_hanging_redis_delays_a_round_of_deletions_once(place: IsolatedNamespace) -> None:
    with SilentServer() as silent:
        progress = ProgressStreams(place.settings.model_copy(update={"redis_url": silent.url.replace("http", "redis")}))
        await progress.delete([f"uid-{number}" for number in range(5)])
        assert silent.connections == 1
    await progress.close()


def test_two_gateways_can_complete_the_same_deletions(place: IsolatedNamespace) -> None:
    uids = [place.training(f"job-{number}", uri_of(place.dataset(f"dataset-{number}"))) for number in range(4)]
    for number in range(4):
        place.request(Kind.TRAIN, f"job-{number}")

    with ThreadPoolExecutor(2) as gateways:
        done = [gateways.submit(place.proceed) for _ in range(2)]
    assert set().union(*(each.result() for each in done)) == set(uids)
    assert place.api.count(Kind.TRAIN) == 0
    assert place.keys(f"datasets/{place.namespace}/") == []


def test_label_set_with_kubectl_deletes_files(place: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = place.dataset()
    uid = place.training("job", uri_of(prefix), labels={"darkroom.dev/delete-files": "true"}, finalizers=["x.dev/keep"])
    with gateway_of(place) as gateway:
        wait_until(lambda: FINALIZER_FILES in finalizers(place), "a gateway holds the job")
        assert gateway.http.get("/jobs/job").json()["deletes_files"] is True
        place.api.delete(Kind.TRAIN, "job")
        wait_until(lambda: finalizers(place) == ["x.dev/keep"], "its files are gone, and others may keep it")
    assert place.keys(prefix) == place.keys(run_prefix(uid)) == []
    place.api.set_finalizers(Kind.TRAIN, "job", [])


def finalizers(place: IsolatedNamespace) -> list[str]:
    found: list[str] = place.api.get(Kind.TRAIN, "job")["metadata"].get("finalizers", [])
    return found


def test_job_without_its_label_is_found_by_its_finalizer(place: IsolatedNamespace, gateway_of: Any) -> None:
    prefix = place.dataset()
    place.training("job", uri_of(prefix), finalizers=[FINALIZER_FILES])
    place.api.delete(Kind.TRAIN, "job")

    with gateway_of(place):
        wait_until(lambda: not place.api.exists(Kind.TRAIN, "job"), "the first sweep finds it")
    assert place.keys(prefix) == []


def test_files_can_not_be_added_to_a_deletion_in_progress(place: IsolatedNamespace, gateway_of: Any) -> None:
    place.training("job", uri_of(place.dataset()), finalizers=["x.dev/keep"])
    place.api.delete(Kind.TRAIN, "job")
    with gateway_of(place) as gateway:
        answer = gateway.http.delete("/jobs/job", params={"files": "true"})

    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (409, "AlreadyDeleting")
    with pytest.raises(AlreadyDeletingError, match="without its files"):
        place.request(Kind.TRAIN, "job")
    place.api.set_finalizers(Kind.TRAIN, "job", [])


def test_job_that_was_deleted_concurrently_is_reported_without_its_files(place: IsolatedNamespace) -> None:
    uid = place.training("job", uri_of(place.dataset()))
    job = place.cluster.get(Kind.TRAIN, "job")
    assert job is not None
    place.api.delete(Kind.TRAIN, "job")

    with pytest.raises(
        UnknownTaskError, match=r"no longer exists\. If it was deleted without its files, they are still"
    ):
        place.job_files().request(job)
    assert len(place.keys(run_prefix(uid))) == len(RUN_FILES)


def test_unreadable_job_keeps_its_photos(place: IsolatedNamespace) -> None:
    prefix = place.dataset()
    place.training("first", uri_of(prefix))
    document = {"metadata": {"name": "b", "uid": "2", "resourceVersion": "1"}, "status": {"phase": "Of tomorrow"}}

    other = read_deletable_job(Kind.TRAIN, {**document, "spec": {"dataset": {"uri": uri_of(prefix)}}})

    assert not other.finished
    assert owned_dataset(other, BUCKET, place.namespace) == prefix


def test_more_files_than_one_listing_returns_are_all_deleted(place: IsolatedNamespace, nanio_folder: Any) -> None:
    uid = secrets.token_hex(8)
    place.store(f"{run_prefix(uid)}0-first")
    folder = nanio_folder / BUCKET / run_prefix(uid)
    for number in range(1010):
        (folder / f"file-{number:04d}").write_bytes(b"x")
    storage = place.storage
    last = f"{run_prefix(uid)}file-1009"

    assert storage.first_keys(run_prefix(uid), suffix="1009") == [last]
    assert storage.delete_below(run_prefix(uid), keep={last}) == 1010
    assert place.keys(run_prefix(uid)) == [last]


def test_marking_retries_after_concurrent_status_updates(place: IsolatedNamespace) -> None:
    """The operator writes the status of a running job all the time."""
    place.training("job", uri_of(place.dataset()))
    job = place.job_files()._cluster.get(Kind.TRAIN, "job")
    assert job is not None
    content = json.dumps({"metadata": {"labels": {"x": "y"}}})
    headers = {"Content-Type": "application/merge-patch+json"}
    place.api.http.patch(place.api.path(Kind.TRAIN, "job"), content=content, headers=headers)

    place.job_files().request(job)
    assert FINALIZER_FILES in finalizers(place)
    assert len(place.proceed()) == 1
