"""Photos that no job uses are removed, with retries; photos that a job may use are kept."""

import asyncio
import threading
from typing import cast

import pytest

from darkroom_gateway.backends.calls import Backends
from darkroom_gateway.errors import ClusterUnavailableError, StorageUnavailableError
from darkroom_gateway.jobs import orphaned_photos as cleanup
from darkroom_gateway.jobs.orphaned_photos import OrphanedPhotos, Uploads
from darkroom_gateway.storage.client import ObjectStorage


class Bucket:
    """An in-memory bucket that may be down."""

    def __init__(self) -> None:
        self.keys = {"a", "b"}
        self.outages = 0
        """Number of deletions that fail."""

    def delete(self, keys: list[str]) -> None:
        if self.outages > 0:
            self.outages -= 1
            raise StorageUnavailableError("down")
        self.keys -= set(keys)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(cleanup, name, 0.01)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def orphaned_photos(bucket: Bucket) -> OrphanedPhotos:
    return OrphanedPhotos(cast(ObjectStorage, bucket), Backends().storage)


async def stored(*keys: str) -> Uploads:
    """Finished uploads."""
    uploads = {key: asyncio.create_task(asyncio.sleep(0)) for key in keys}
    await asyncio.wait(uploads.values())
    return uploads


async def idle(orphaned_photos: OrphanedPhotos) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*orphaned_photos._pending)


async def test_photos_are_removed_before_the_response(orphaned_photos: OrphanedPhotos, bucket: Bucket) -> None:
    await orphaned_photos.remove(await stored("a", "b"))
    assert bucket.keys == set()


async def test_outage_delays_the_response_briefly_and_the_removal_until_its_end(
    orphaned_photos: OrphanedPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "CLEAN_UP_SECONDS", 0.0)
    bucket.outages = 3
    await orphaned_photos.remove(await stored("a", "b"))
    assert bucket.keys == {"a", "b"}

    await idle(orphaned_photos)
    assert bucket.keys == set()


async def test_photo_of_an_abandoned_upload_is_removed_after_it_ended(
    orphaned_photos: OrphanedPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "CLEAN_UP_SECONDS", 0.0)
    go = threading.Event()

    def write_late() -> None:
        go.wait()
        bucket.keys.add("late")

    upload = await Backends().uploads.begin(write_late)
    await orphaned_photos.remove({**await stored("a", "b"), "late": upload})
    go.set()
    await idle(orphaned_photos)

    assert bucket.keys == set()


async def test_photos_that_can_not_be_removed_are_logged(
    orphaned_photos: OrphanedPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cleanup, "TRIES", 2)
    bucket.outages = 100
    await orphaned_photos.remove(await stored("a"))

    assert "orphaned photos, such as a: down" in caplog.text
    assert bucket.outages == 98


async def test_stopping_gateway_logs_orphaned_photos(
    orphaned_photos: OrphanedPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cleanup, "CLEAN_UP_SECONDS", 0.0)
    monkeypatch.setattr(cleanup, "FIRST_PAUSE_SECONDS", 100.0)
    bucket.outages = 100
    await orphaned_photos.remove(await stored("a"))
    await orphaned_photos.close()

    assert "orphaned photos, such as a: the gateway is stopping" in caplog.text


async def test_pending_removals_are_limited(
    orphaned_photos: OrphanedPhotos, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cleanup, "MAX_PENDING", 1)
    monkeypatch.setattr(cleanup, "SETTLE_SECONDS", 100.0)

    async def unknown() -> bool:
        return False

    orphaned_photos.remove_unless_used(await stored("a"), unknown)
    await orphaned_photos.remove(await stored("b"))
    assert "orphaned photos, such as b: 1 removals are pending" in caplog.text
    await orphaned_photos.close()


@pytest.mark.parametrize("used", [True, False])
async def test_photos_are_kept_until_it_is_known_whether_their_job_was_created(
    orphaned_photos: OrphanedPhotos, bucket: Bucket, used: bool
) -> None:
    looks = 0

    async def is_used() -> bool:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise ClusterUnavailableError("down")
        return used

    orphaned_photos.remove_unless_used(await stored("a", "b"), is_used)
    assert bucket.keys == {"a", "b"}
    await idle(orphaned_photos)

    assert looks == 3
    assert bucket.keys == ({"a", "b"} if used else set())
