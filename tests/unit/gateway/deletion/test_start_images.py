"""Uploaded start pictures are deleted with their job, and expire, but not while another job reads them."""

from datetime import UTC, datetime, timedelta

import pytest
from support.isolated_namespace import IsolatedNamespace

from darkroom_contract.names import Kind
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.kube.client import KubeClient

UPLOAD, OTHER = "abcdefghijklmnop", "ponmlkjihgfedcba"
MONTH_LATER = datetime.now(UTC) + timedelta(days=30)


def upload(isolated: IsolatedNamespace, name: str = UPLOAD) -> str:
    """Store pictures as a gateway does; returns their prefix."""
    prefix = f"images/{isolated.namespace}/{name}/"
    isolated.store(f"{prefix}image.png", f"{prefix}mask.png", f"{prefix}video_image.png")
    return prefix


def generation(isolated: IsolatedNamespace, name: str, prefix: str) -> None:
    uri = f"s3://darkroom/{prefix}"
    spec = {
        "prompt": "a dog",
        "startImage": {"uri": f"{uri}image.png"},
        "mask": {"uri": f"{uri}mask.png"},
        "allowMotion": True,
        "video": {"startImage": {"uri": f"{uri}video_image.png"}},
    }
    isolated.api.create(Kind.GENERATE, name, spec)


def test_pictures_are_deleted_with_their_job(isolated: IsolatedNamespace) -> None:
    kept = upload(isolated, OTHER)
    prefix = upload(isolated)
    generation(isolated, "job", prefix)
    isolated.request(Kind.GENERATE, "job")

    assert len(isolated.proceed()) == 1
    assert isolated.keys(prefix) == []
    assert len(isolated.keys(kept)) == 3


def test_pictures_that_another_job_reads_are_kept(isolated: IsolatedNamespace) -> None:
    prefix = upload(isolated)
    generation(isolated, "job", prefix)
    spec = {"prompt": "a cat", "startImage": {"uri": f"s3://darkroom/{prefix}mask.png"}}
    isolated.api.create(Kind.GENERATE, "other", spec)

    isolated.request(Kind.GENERATE, "job")
    isolated.proceed()
    assert len(isolated.keys(prefix)) == 3

    isolated.request(Kind.GENERATE, "other")
    isolated.proceed()
    assert isolated.keys(prefix) == []


def test_a_job_created_during_the_deletion_keeps_the_pictures(isolated: IsolatedNamespace) -> None:
    """The deleted job still runs when the other one is created."""
    prefix = upload(isolated)
    generation(isolated, "job", prefix)
    isolated.lease("darkroom-slot-0", "GenerateJob/job")
    isolated.request(Kind.GENERATE, "job")
    assert isolated.proceed() == []

    generation(isolated, "other", prefix)
    isolated.lease("darkroom-slot-0", None)

    assert len(isolated.proceed()) == 1
    assert len(isolated.keys(prefix)) == 3
    isolated.request(Kind.GENERATE, "other")
    isolated.proceed()
    assert isolated.keys(prefix) == []


@pytest.mark.parametrize("deleted", [False, True], ids=["waiting", "running and being deleted"])
def test_a_job_created_during_a_round_of_deletions_keeps_the_pictures(
    isolated: IsolatedNamespace, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    """After the round has listed all jobs, and before it removes the pictures."""
    prefix = upload(isolated)
    generation(isolated, "job", prefix)
    isolated.request(Kind.GENERATE, "job")
    slot_holders, lists = KubeClient.slot_holders, list[None]()

    def create_after_the_first_list(kube: KubeClient) -> list[str]:
        holders = list(slot_holders(kube))
        if not lists:
            generation(isolated, "other", prefix)
            if deleted:
                isolated.lease("darkroom-slot-0", "GenerateJob/other")
                isolated.request(Kind.GENERATE, "other")
        lists.append(None)
        return holders

    monkeypatch.setattr(KubeClient, "slot_holders", create_after_the_first_list)

    assert len(isolated.proceed()) == (0 if deleted else 1)
    assert len(isolated.keys(prefix)) == 3


def test_picture_of_a_dataset_keeps_the_dataset(isolated: IsolatedNamespace) -> None:
    prefix = isolated.dataset()
    isolated.training("training", f"s3://darkroom/{prefix}")
    spec = {"prompt": "a cat", "startImage": {"uri": f"s3://darkroom/{prefix}000.jpg"}}
    isolated.api.create(Kind.GENERATE, "other", spec)

    isolated.request(Kind.TRAIN, "training")
    isolated.proceed()

    assert len(isolated.keys(prefix)) == 2


def test_pictures_in_folders_of_people_are_kept(isolated: IsolatedNamespace) -> None:
    own = f"images/{isolated.namespace}/my-pictures/"
    another = f"images/not-{isolated.namespace}/{UPLOAD}/"
    isolated.store(f"{own}image.png", f"{another}image.png")
    for number, prefix in enumerate((own, another)):
        spec = {"prompt": "a cat", "startImage": {"uri": f"s3://darkroom/{prefix}image.png"}}
        isolated.api.create(Kind.GENERATE, f"job-{number}", spec)
        isolated.request(Kind.GENERATE, f"job-{number}")

    assert len(isolated.proceed()) == 2
    assert len(isolated.keys(own)) == len(isolated.keys(another)) == 1


def test_pictures_expire_unless_an_unfinished_job_reads_them(isolated: IsolatedNamespace) -> None:
    needed, expired = upload(isolated), upload(isolated, OTHER)
    generation(isolated, "job", needed)
    retention = DatasetRetention(isolated.storage, isolated.namespace, timedelta(hours=1))

    assert retention.sweep(isolated.job_deleter().all(), datetime.now(UTC)) == []
    assert retention.sweep(isolated.job_deleter().all(), MONTH_LATER) == [expired]
    assert len(isolated.keys(needed)) == 3
