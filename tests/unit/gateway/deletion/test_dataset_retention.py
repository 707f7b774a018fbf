"""Retention of datasets: photos expire, but not while a job may need them."""

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.isolated_namespace import IsolatedNamespace
from support.waiting import waiter

from darkroom_contract.names import Kind
from darkroom_contract.storage.keys import dataset_uri
from darkroom_gateway.deletion.dataset_retention import DatasetRetention
from darkroom_gateway.errors import SettingsError
from darkroom_gateway.settings import Settings

wait_until = waiter(30)

HOUR = timedelta(hours=1)
RETENTION = "DARKROOM_GATEWAY_DATASET_RETENTION_HOURS"


def sweep(isolated: IsolatedNamespace, now: datetime, retention: timedelta | None = HOUR) -> int:
    """The number of expired datasets."""
    return len(
        DatasetRetention(isolated.storage, isolated.namespace, retention).sweep(isolated.job_deleter().all(), now)
    )


def in_hours(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def test_photos_without_a_job_expire(isolated: IsolatedNamespace) -> None:
    """Their job was deleted by its TTL or by kubectl."""
    prefix = isolated.dataset()
    isolated.training("job", dataset_uri("darkroom", prefix))
    isolated.api.delete(Kind.TRAIN, "job")

    assert sweep(isolated, in_hours(0.9)) == 0
    assert sweep(isolated, in_hours(1.1), retention=None) == 0
    assert len(isolated.keys(prefix)) == 2
    assert sweep(isolated, in_hours(1.1)) == 1
    assert isolated.keys(prefix) == []
    assert sweep(isolated, in_hours(1.1)) == 0


@pytest.mark.parametrize(
    ("status", "spec"),
    [
        ({}, {}),
        ({"phase": "Queued", "attempts": 1, "nextAttemptTime": "2026-01-02T03:04:05Z"}, {}),
        ({"phase": "Running", "slot": 0}, {}),
        ({"phase": "Suspended"}, {"suspend": True}),
    ],
    ids=["new", "tried again", "running", "suspended"],
)
def test_photos_of_an_unfinished_job_are_kept(
    isolated: IsolatedNamespace, status: dict[str, Any], spec: dict[str, Any]
) -> None:
    prefix = isolated.dataset()
    isolated.training("ended", dataset_uri("darkroom", prefix))
    dataset = {"dataset": {"uri": dataset_uri("darkroom", prefix)}}
    isolated.api.create(Kind.TRAIN, "other", {"modelId": "dog", "prompt": "sks dog", **dataset, **spec})
    isolated.api.set_status(Kind.TRAIN, "other", **status)

    assert sweep(isolated, in_hours(1000)) == 0
    assert len(isolated.keys(prefix)) == 2


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_photos_expire_when_their_job_ended_before_the_retention(isolated: IsolatedNamespace, phase: str) -> None:
    prefix = isolated.dataset()
    isolated.training("job", dataset_uri("darkroom", prefix), finished=False)
    ended = in_hours(0.5).isoformat(timespec="seconds")
    isolated.api.set_status(Kind.TRAIN, "job", phase=phase, completionTime=ended)

    assert sweep(isolated, in_hours(1.2)) == 0  # The photos are older than the retention, the end of the job is not.
    assert len(isolated.keys(prefix)) == 2
    assert sweep(isolated, in_hours(1.6)) == 1
    assert isolated.keys(prefix) == []


def test_photos_that_no_gateway_stored_are_kept(isolated: IsolatedNamespace) -> None:
    others = [
        f"datasets/{isolated.namespace}/my-photos/1.jpg",
        f"datasets/{isolated.namespace}/1.jpg",
        f"datasets/not-{isolated.namespace}/abcdefghijklmnop/1.jpg",
    ]
    isolated.store(*others)

    assert sweep(isolated, in_hours(1000)) == 0
    assert [isolated.keys(key) for key in others] == [[key] for key in others]


def test_gateway_sweeps_in_the_background(
    isolated: IsolatedNamespace, start_gateway: Any, environment: dict[str, str], nanio_folder: Any
) -> None:
    young = isolated.dataset("youngyoungyoungy")
    orphaned = f"datasets/{isolated.namespace}/orphanedorphaned/"
    photo = nanio_folder / "darkroom" / orphaned / "000.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"x")  # The server returns the modification time of a file that has no record.
    two_hours_ago = time.time() - 7200
    os.utime(photo, (two_hours_ago, two_hours_ago))
    assert len(isolated.keys(orphaned)) == 1

    with start_gateway({**environment, "DARKROOM_NAMESPACE": isolated.namespace, RETENTION: "1"}):
        wait_until(lambda: isolated.keys(orphaned) == [], "the photos are gone")
    assert len(isolated.keys(young)) == 2


def test_retention_is_off_by_default() -> None:
    assert Settings.from_environment({}).dataset_retention is None
    assert Settings.from_environment({RETENTION: "72"}).dataset_retention == timedelta(days=3)


@pytest.mark.parametrize("value", ["0", "-1", "0.5", "1d", "87601"])
def test_invalid_retention_is_refused_at_startup(value: str) -> None:
    with pytest.raises(SettingsError, match=f"{RETENTION} is '{value}'"):
        Settings.from_environment({RETENTION: value})
