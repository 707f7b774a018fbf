"""Which datasets a training may read: those of its namespace, those that the deployment allows, and no others."""

import pytest

from darkroom_contract.storage.datasets import DatasetPolicy, read_allowed_uris

OWN = DatasetPolicy("darkroom")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://darkroom/datasets/studio/0123456789abcdef/",
        "s3://darkroom/datasets/studio/my-dog",
        "s3://darkroom/datasets/studio/2026/dogs/",
        "s3://darkroom/datasets/studio/",
    ],
)
def test_a_namespace_reads_its_own_folder(uri: str) -> None:
    assert OWN.fault(uri, "studio") is None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://elsewhere/datasets/studio/x/",
        "s3://darkroom/datasets/lab/x/",
        "s3://darkroom/datasets/studio-b/x/",
        "s3://darkroom/datasets/stud/",
        "s3://darkroom/datasets/",
        "s3://darkroom/runs/0b1f/",
        "s3://darkroom/models/studio/my-dog/",
        "s3://darkroom.example/datasets/studio/x/",
    ],
)
def test_it_reads_no_other_namespace_and_no_other_bucket(uri: str) -> None:
    fault = OWN.fault(uri, "studio")
    assert fault is not None
    assert f"{uri} is outside of the folders" in fault
    assert "s3://darkroom/datasets/studio/" in fault


@pytest.mark.parametrize(
    "uri",
    [
        "s3://darkroom/datasets/studio/../lab/x/",
        "s3://darkroom/datasets/studio/..",
        "s3://darkroom/datasets/studio/./x/",
        "s3://darkroom/datasets/studio//x/",
        "s3://darkroom//datasets/studio/x/",
        "s3://darkroom/",
        "s3://darkroom",
        "s3://darkroom/datasets/studio/%2e%2e/lab/",
        "s3://darkroom/datasets/studio/x/\n",
        "s3://darkroom/datasets/studio/x?versionId=1",
        "s3://user@darkroom/datasets/studio/x/",
        "S3://darkroom/datasets/studio/x/",
        "https://darkroom/datasets/studio/x/",
    ],
)
def test_ambiguous_uri_is_refused(uri: str) -> None:
    assert OWN.fault(uri, "studio") is not None
    everything = DatasetPolicy("darkroom", ("s3://darkroom/",))
    assert "can't be used" in (everything.fault(uri, "studio") or "")


def test_an_administrator_may_allow_folders_and_buckets() -> None:
    policy = DatasetPolicy(
        "darkroom", read_allowed_uris("s3://photos/ , s3://archive/dogs\ns3://darkroom/datasets/examples/")
    )
    assert policy.folders("studio") == (
        "s3://darkroom/datasets/studio/",
        "s3://photos/",
        "s3://archive/dogs/",
        "s3://darkroom/datasets/examples/",
    )
    for uri in (
        "s3://photos/a/",
        "s3://archive/dogs",
        "s3://archive/dogs/rex/",
        "s3://darkroom/datasets/examples/star/",
    ):
        assert policy.fault(uri, "studio") is None
    for uri in ("s3://archive/dogs-of-others/", "s3://archive/", "s3://photos-of-others/a/"):
        assert policy.fault(uri, "studio") is not None


def test_nothing_more_is_allowed_when_nothing_is_said() -> None:
    assert read_allowed_uris(None) == read_allowed_uris("") == read_allowed_uris(" , ") == ()


@pytest.mark.parametrize(
    "entry", ["*", "s3://", "photos/", "s3://a/", "s3://photos/../x/", "s3://photos//x", "s3://p*/x"]
)
def test_an_entry_that_can_t_be_used_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="DARKROOM_DATASET_URIS holds"):
        read_allowed_uris(f"s3://photos/ {entry}")
