"""The operator's settings from environment variables."""

from datetime import timedelta
from pathlib import Path

import pytest

from darkroom_contract.storage.datasets import DatasetPolicy
from darkroom_operator.errors import SettingsError
from darkroom_operator.settings import Settings

IMAGE = {"DARKROOM_RUNNER_IMAGE": "darkroom/runner:1"}


def test_an_image_is_all_that_is_needed() -> None:
    settings = Settings.from_environment(IMAGE)
    assert (settings.runner_image, settings.namespace, settings.slots) == ("darkroom/runner:1", "default", 1)
    assert (settings.gpu_count, settings.redis_url, settings.health_port) == (1, None, None)


def test_without_an_image_it_says_what_to_set() -> None:
    with pytest.raises(SettingsError, match="DARKROOM_RUNNER_IMAGE is not set"):
        Settings.from_environment({})


ALL_VARIABLES = IMAGE | {
    "DARKROOM_NAMESPACE": "art",
    "DARKROOM_SLOTS": "2",
    "DARKROOM_RUNNER_SECRET": "storage",
    "DARKROOM_GPU_RESOURCE": "amd.com/gpu",
    "DARKROOM_GPU_COUNT": "0",
    "DARKROOM_DEFAULT_BASE_MODEL": "a",
    "DARKROOM_DEFAULT_VIDEO_BASE_MODEL": "b",
    "DARKROOM_REDIS_URL": "redis://r",
    "DARKROOM_HEALTH_PORT": "8080",
    "DARKROOM_HEALTH_HOST": "127.0.0.1",
    "DARKROOM_RETRY_BASE_SECONDS": "0.5",
    "DARKROOM_RETRY_CAP_SECONDS": "60",
    "DARKROOM_TERMINATION_GRACE_SECONDS": "5",
    "DARKROOM_LEASE_SECONDS": "10",
    "DARKROOM_OPERATOR_IDENTITY": "me",
    "DARKROOM_WATCH_STUCK_SECONDS": "90",
    "DARKROOM_S3_BUCKET": "photos",
    "DARKROOM_DATASET_URIS": "s3://more",
    "DARKROOM_MODEL_ROOT": "/models/base",
}
ALL_SETTINGS = Settings(
    runner_image="darkroom/runner:1",
    namespace="art",
    slots=2,
    runner_secret="storage",
    gpu_resource="amd.com/gpu",
    gpu_count=0,
    default_base_model="a",
    default_video_base_model="b",
    redis_url="redis://r",
    health_port=8080,
    health_host="127.0.0.1",
    retry_base_seconds=0.5,
    retry_cap_seconds=60.0,
    termination_grace_seconds=5,
    lease_seconds=10,
    identity="me",
    watch_stuck_seconds=90.0,
    s3_bucket="photos",
    dataset_uris=("s3://more/",),
    model_root=Path("/models/base"),
)


def test_everything_can_be_set() -> None:
    settings = Settings.from_environment(ALL_VARIABLES)
    assert settings == ALL_SETTINGS
    assert settings.dataset_policy == DatasetPolicy("photos", ("s3://more/",))


def test_an_empty_variable_counts_as_not_set() -> None:
    assert Settings.from_environment(IMAGE | {"DARKROOM_SLOTS": "", "DARKROOM_REDIS_URL": ""}) == Settings(
        runner_image="darkroom/runner:1"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DARKROOM_SLOTS", "0"),
        ("DARKROOM_SLOTS", "one"),
        ("DARKROOM_QUEUE_POLICY", "priorityThenAge"),
        ("DARKROOM_GPU_COUNT", "-1"),
        ("DARKROOM_HEALTH_PORT", "http"),
        ("DARKROOM_RETRY_BASE_SECONDS", "-0.1"),
        ("DARKROOM_RETRY_BASE_SECONDS", "nan"),
        ("DARKROOM_RETRY_CAP_SECONDS", "1e300"),
        ("DARKROOM_TERMINATION_GRACE_SECONDS", "1.5"),
        ("DARKROOM_LEASE_SECONDS", "0"),
        ("DARKROOM_LEASE_SECONDS", "2.5"),
        ("DARKROOM_LEASE_SECONDS", "86400"),
        ("DARKROOM_WATCH_STUCK_SECONDS", "soon"),
        ("DARKROOM_DEFAULT_BASE_MODEL", "../sdxl"),
        ("DARKROOM_DEFAULT_VIDEO_BASE_MODEL", "owner/svd@a..b"),
    ],
)
def test_a_value_that_can_t_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is '{value}'"):
        Settings.from_environment(IMAGE | {name: value})


def test_a_list_of_datasets_that_can_t_be_used_is_named() -> None:
    with pytest.raises(SettingsError, match="DARKROOM_DATASET_URIS holds 'photos'"):
        Settings.from_environment(IMAGE | {"DARKROOM_S3_BUCKET": "b", "DARKROOM_DATASET_URIS": "photos"})


def test_a_leader_stops_before_its_term_ends_and_another_begins_within_ten_seconds() -> None:
    settings = Settings(runner_image="x")
    assert settings.retry_seconds < settings.renew_seconds < settings.lease_seconds
    assert settings.retry_seconds + settings.lease_seconds + settings.retry_seconds < 10


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 300), (100_000, 300)])
def test_waits_between_runs_double_up_to_a_limit(failures: int, seconds: float) -> None:
    assert Settings(runner_image="x").retry_wait(failures) == timedelta(seconds=seconds)


def test_without_a_bucket_the_dataset_uris_are_not_looked_at() -> None:
    settings = Settings.from_environment(IMAGE | {"DARKROOM_DATASET_URIS": "photos"})
    assert (settings.dataset_uris, settings.dataset_policy) == ((), None)
    with pytest.raises(SettingsError, match="DARKROOM_DATASET_URIS"):
        Settings.from_environment(IMAGE | {"DARKROOM_DATASET_URIS": "photos", "DARKROOM_S3_BUCKET": "photos"})
