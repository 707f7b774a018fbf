"""Photos that no job will use are removed, however long that takes, and those that a job may use stay."""

import asyncio
import threading
from typing import cast

import pytest

from darkroom_gateway import leftover_photos
from darkroom_gateway.backends import Backends
from darkroom_gateway.errors import ClusterUnavailableError, StorageUnavailableError
from darkroom_gateway.leftover_photos import LeftoverPhotos, Uploads
from darkroom_gateway.storage import Storage


class Bucket:
    """Keys in memory, behind a server that may be down."""

    def __init__(self) -> None:
        self.keys = {"a", "b"}
        self.outages = 0
        """So many deletions fail."""

    def delete(self, keys: list[str]) -> None:
        if self.outages > 0:
            self.outages -= 1
            raise StorageUnavailableError("down")
        self.keys -= set(keys)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(leftover_photos, name, 0.01)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def leftovers(bucket: Bucket) -> LeftoverPhotos:
    return LeftoverPhotos(cast("Storage", bucket), Backends().storage)


async def stored(*keys: str) -> Uploads:
    """Uploads that ended."""
    uploads = {key: asyncio.create_task(asyncio.sleep(0)) for key in keys}
    await asyncio.wait(uploads.values())
    return uploads


async def idle(leftovers: LeftoverPhotos) -> None:
    async with asyncio.timeout(10):
        await asyncio.gather(*leftovers._pending)


async def test_they_are_removed_before_the_answer(leftovers: LeftoverPhotos, bucket: Bucket) -> None:
    await leftovers.remove(await stored("a", "b"))
    assert bucket.keys == set()


async def test_an_outage_delays_the_answer_for_a_moment_and_the_removal_until_its_end(
    leftovers: LeftoverPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftover_photos, "CLEAN_UP_SECONDS", 0.0)
    bucket.outages = 3
    await leftovers.remove(await stored("a", "b"))
    assert bucket.keys == {"a", "b"}

    await idle(leftovers)
    assert bucket.keys == set()


async def test_a_photo_whose_upload_was_given_up_is_removed_after_it_ended(
    leftovers: LeftoverPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftover_photos, "CLEAN_UP_SECONDS", 0.0)
    go = threading.Event()

    def write_late() -> None:
        go.wait()
        bucket.keys.add("late")

    upload = await Backends().uploads.begin(write_late)
    await leftovers.remove({**await stored("a", "b"), "late": upload})
    go.set()
    await idle(leftovers)

    assert bucket.keys == set()


async def test_what_can_t_be_removed_is_named_in_the_log(
    leftovers: LeftoverPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leftover_photos, "TRIES", 2)
    bucket.outages = 100
    await leftovers.remove(await stored("a"))

    assert "left photos behind, such as a: down" in caplog.text
    assert bucket.outages == 98


async def test_a_gateway_that_ends_names_what_is_left(
    leftovers: LeftoverPhotos, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leftover_photos, "CLEAN_UP_SECONDS", 0.0)
    monkeypatch.setattr(leftover_photos, "FIRST_PAUSE_SECONDS", 100.0)
    bucket.outages = 100
    await leftovers.remove(await stored("a"))
    await leftovers.close()

    assert "left photos behind, such as a: the gateway ends" in caplog.text


async def test_an_outage_does_not_make_removals_pile_up(
    leftovers: LeftoverPhotos, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leftover_photos, "MAX_PENDING", 1)
    monkeypatch.setattr(leftover_photos, "SETTLE_SECONDS", 100.0)

    async def unknown() -> bool:
        return False

    leftovers.remove_unless_used(await stored("a"), unknown)
    await leftovers.remove(await stored("b"))
    assert "left photos behind, such as b: 1 removals are waiting" in caplog.text
    await leftovers.close()


@pytest.mark.parametrize("used", [True, False])
async def test_photos_of_a_job_that_may_have_been_created_stay_until_that_is_known(
    leftovers: LeftoverPhotos, bucket: Bucket, used: bool
) -> None:
    looks = 0

    async def is_used() -> bool:
        nonlocal looks
        looks += 1
        if looks < 3:
            raise ClusterUnavailableError("down")
        return used

    leftovers.remove_unless_used(await stored("a", "b"), is_used)
    assert bucket.keys == {"a", "b"}
    await idle(leftovers)

    assert looks == 3
    assert bucket.keys == ({"a", "b"} if used else set())
