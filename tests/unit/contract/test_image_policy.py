"""Which pictures a generation may start from: those of its namespace, those of its jobs, and allowed folders."""

import pytest

from darkroom_contract.specs.generate_job import GenerateJobSpec
from darkroom_contract.storage.datasets import DatasetPolicy

OWN = DatasetPolicy("darkroom")


@pytest.mark.parametrize(
    "uri",
    [
        "s3://darkroom/images/studio/0123456789abcdef/image.jpg",
        "s3://darkroom/images/studio/my dog.PNG",
        "s3://darkroom/datasets/studio/dog/1.heic",
        "s3://darkroom/runs/6a7b-1/my-job-seed-0.png",
        "s3://darkroom/runs/6a7b-1/samples/my-job-step-00100-0.png",
    ],
)
def test_own_pictures_may_be_read(uri: str) -> None:
    assert OWN.image_fault(uri, "studio") is None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://darkroom/images/lab/x/image.jpg",
        "s3://darkroom/images/studio-b/image.jpg",
        "s3://darkroom/images/image.jpg",
        "s3://darkroom/datasets/lab/dog/1.jpg",
        "s3://darkroom/loras/studio/preview.png",
        "s3://darkroom/runs/6a7b-1/logs/1.png",
        "s3://darkroom/runs/a/b/c/1.png",
        "s3://elsewhere/images/studio/image.jpg",
        "s3://elsewhere/runs/6a7b-1/my-job-seed-0.png",
        "s3://darkroom.example/images/studio/image.jpg",
    ],
)
def test_pictures_of_other_namespaces_and_buckets_are_refused(uri: str) -> None:
    fault = OWN.image_fault(uri, "studio", "startImage.uri")
    assert fault is not None
    assert fault.startswith(f"startImage.uri {uri} is outside of the folders")
    assert "s3://darkroom/images/studio/" in fault


@pytest.mark.parametrize(
    "uri",
    [
        "s3://darkroom/images/studio/../lab/image.jpg",
        "s3://darkroom/images/studio/./image.jpg",
        "s3://darkroom/images/studio//image.jpg",
        "s3://darkroom/runs/../images/lab/image.jpg",
        "s3://darkroom/images/studio/image.gif",
        "s3://darkroom/images/studio/image.jpg?versionId=1",
        "s3://darkroom/images/studio/image.jpg\n",
        "s3://user@darkroom/images/studio/image.jpg",
        "https://darkroom/images/studio/image.jpg",
        "file:///etc/passwd.png",
    ],
)
def test_ambiguous_uris_are_refused_even_where_all_is_allowed(uri: str) -> None:
    assert "can't be used" in (DatasetPolicy("darkroom", ("s3://darkroom/",)).image_fault(uri, "studio") or "")


def test_manifest_decides_about_pictures_of_jobs_only() -> None:
    """An allowed folder needs no manifest, even when it contains the runs."""
    run = "s3://darkroom/runs/6a7b-1/my-job-seed-0.png"
    assert OWN.job_of_image(run, "studio") == "6a7b-1"
    assert OWN.job_of_image("s3://darkroom/images/studio/image.png", "studio") is None
    assert OWN.job_of_image("s3://elsewhere/runs/6a7b-1/my-job-seed-0.png", "studio") is None
    assert DatasetPolicy("darkroom", ("s3://darkroom/",)).job_of_image(run, "studio") is None


def test_administrator_may_allow_folders() -> None:
    policy = DatasetPolicy("darkroom", ("s3://photos/a/",))
    assert policy.image_fault("s3://photos/a/1.jpg", "studio") is None
    assert policy.image_fault("s3://photos/ab/1.jpg", "studio") is not None


def test_sources_are_listed_by_their_field() -> None:
    uris = [f"s3://darkroom/images/studio/{name}.png" for name in "abc"]
    spec = GenerateJobSpec.model_validate(
        {
            "prompt": "a dog",
            "startImage": {"uri": uris[0]},
            "mask": {"uri": uris[1]},
            "video": {"startImage": {"uri": uris[2]}},
        }
    )
    assert [each.uri for each in spec.image_sources.values()] == uris[:2]  # Without a clip its picture is not read.
    moving = spec.model_copy(update={"allow_motion": True})
    assert {field: each.uri for field, each in moving.image_sources.items()} == {
        "startImage": uris[0],
        "mask": uris[1],
        "video.startImage": uris[2],
    }
