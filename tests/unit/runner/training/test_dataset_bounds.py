"""The runner enforces which datasets a namespace may read, whatever its credentials allow."""

from collections.abc import Callable
from typing import Any

import pytest

from darkroom_contract import environment as names
from darkroom_contract.outcome import Reason
from darkroom_contract.specs.train_job import TrainJobSpec
from darkroom_runner.errors import DatasetNotAllowedError, DatasetNotFoundError, InvalidRunError
from darkroom_runner.settings import Settings
from darkroom_runner.tasks.train import TrainTask


def training(uri: str) -> TrainJobSpec:
    document = {"modelId": "m", "prompt": "a photo of sks dog", "dataset": {"uri": uri}, "maxSteps": 1}
    return TrainJobSpec.from_dict(document)


@pytest.fixture
def other_photos(s3: Any) -> str:
    """Photos of another namespace, which the credentials can read."""
    s3.put_object(Bucket="darkroom", Key="datasets/lab/secret/1.png", Body=b"secret")
    return "s3://darkroom/datasets/lab/secret/"


def test_another_namespace_s_photos_are_not_read(start_run: Callable[..., Any], other_photos: str) -> None:
    run = start_run(training(other_photos)).finish()

    assert (run.outcome.reason, run.exit_code) == (Reason.DATASET_NOT_ALLOWED, 1)
    assert "s3://darkroom/datasets/default/" in run.outcome.message
    assert "1.png" not in run.log


def test_another_bucket_is_refused_without_a_request(start_run: Callable[..., Any]) -> None:
    """Not `DatasetNotFound`, which would reveal whether the bucket exists."""
    assert start_run(training("s3://elsewhere/photos/")).finish().outcome.reason is Reason.DATASET_NOT_ALLOWED


@pytest.mark.parametrize("uri", ["s3://darkroom/datasets/default/../lab/secret/", "s3://darkroom/datasets/default//x/"])
def test_a_path_with_detours_is_refused(open_context: Callable[..., Any], uri: str) -> None:
    with pytest.raises(DatasetNotAllowedError, match="can't be used"):
        TrainTask(open_context(training(uri)), training(uri)).download()


def test_an_allowed_folder_is_read(start_run: Callable[..., Any], other_photos: str) -> None:
    """Up to its photos, which are invalid."""
    run = start_run(training(other_photos), DARKROOM_DATASET_URIS="s3://darkroom/datasets/lab/").finish()

    assert run.outcome.reason is Reason.DATASET_INVALID
    assert "1.png" in run.outcome.message


def test_the_namespace_s_own_folder_is_read(open_context: Callable[..., Any]) -> None:
    spec = training("s3://darkroom/datasets/default/nothing-here/")
    with pytest.raises(DatasetNotFoundError):
        TrainTask(open_context(spec), spec).download()


def test_an_invalid_list_of_folders_fails_the_run() -> None:
    given = {names.RUN: "{}", names.S3_BUCKET: "b", names.DATASET_URIS: "photos"}
    with pytest.raises(InvalidRunError, match="DARKROOM_DATASET_URIS holds 'photos'"):
        Settings.from_environment(given)
