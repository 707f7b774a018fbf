"""Images of a running generation: keys are derived from the job, never taken from what a run reports."""

from dataclasses import replace
from typing import Any

import pytest
from support.job_documents import job_document

from darkroom_contract.jobs import Job, read_job
from darkroom_contract.progress import FinishedImage
from darkroom_contract.status import Phase
from darkroom_gateway.jobs.finished_images import finished_images, image_names

DIGEST = "ab" * 32


def job_with(*seeds: int, phase: str = "Running", **images: Any) -> Job:
    progress = {
        "stage": "Denoising",
        "lastUpdatedTime": "2026-01-02T03:04:05Z",
        "finishedImages": [{"seed": seed, "bytes": 3, "sha256": DIGEST} for seed in seeds],
    }
    document = job_document(1, phase=phase, progress=progress)
    document["spec"]["images"] = {"count": 3, "seed": 7, **images}
    return read_job(document)


def names(job: Job) -> list[str]:
    return [each.key for each in finished_images(job)]


def test_images_are_in_the_folder_of_the_job_in_the_order_of_their_seeds() -> None:
    found = finished_images(job_with(8, 7))
    assert [each.key for each in found] == ["runs/uid-1/job-1-seed-7.png", "runs/uid-1/job-1-seed-8.png"]
    assert {(each.content_type, each.bytes, each.sha256) for each in found} == {("image/png", 3, DIGEST)}


@pytest.mark.parametrize(
    ("format_", "suffix", "content_type"),
    [("PNG", "png", "image/png"), ("JPEG", "jpg", "image/jpeg"), ("WebP", "webp", "image/webp"),
     ("AVIF", "avif", "image/avif")],
)  # fmt: skip
def test_name_and_type_follow_the_format_of_the_job(format_: str, suffix: str, content_type: str) -> None:
    [image] = finished_images(job_with(7, format=format_))
    assert (image.key, image.content_type) == (f"runs/uid-1/job-1-seed-7.{suffix}", content_type)


def test_seeds_of_other_jobs_are_ignored() -> None:
    assert names(job_with(6, 10, 0, 2**32 - 1)) == []
    assert names(job_with(6, 9, 9)) == ["runs/uid-1/job-1-seed-9.png"]


@pytest.mark.parametrize("name", ["a/../../other", "..", "a b", "a%2Fb"])
def test_a_name_that_is_no_file_name_stays_in_the_folder(name: str) -> None:
    """The API server refuses such names."""
    [key] = names(replace(job_with(7), name=name))
    assert key.startswith("runs/uid-1/")
    assert key.count("/") == 2


def test_a_job_has_none_without_progress_and_after_its_success() -> None:
    assert names(job_with(7, phase="Succeeded")) == []
    assert names(read_job(job_document(1, phase=Phase.RUNNING))) == []


def test_images_of_a_job_that_failed_stay() -> None:
    """They are in object storage as long as the job is there."""
    assert names(job_with(7, phase="Failed")) == ["runs/uid-1/job-1-seed-7.png"]


def test_a_training_has_none() -> None:
    document = job_document(1, phase="Running")
    document["kind"] = "TrainJob"
    document["spec"] |= {"modelId": "dog", "dataset": {"uri": "s3://darkroom/datasets/default/x/"}}
    training = read_job(document)
    image = FinishedImage(seed=0, bytes=3, sha256=DIGEST)
    progress = job_with(7).status.progress
    assert progress is not None
    status = training.status.model_copy(update={"progress": progress.model_copy(update={"finished_images": (image,)})})
    assert (names(replace(training, status=status)), image_names(training)) == ([], {})
