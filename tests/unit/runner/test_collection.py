"""Loading is not slowed by the garbage collector, and what comes after is collected as ever."""

import gc
from collections.abc import Iterator

import pytest

from darkroom_runner.collection import paused_collection


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """What is frozen here is none of other tests' business."""
    yield
    gc.unfreeze()


def test_nothing_is_collected_meanwhile_and_all_as_ever_afterwards() -> None:
    with paused_collection():
        assert not gc.isenabled()
        kept = [[] for _ in range(10_000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)


def test_a_failure_of_the_loading_leaves_the_collector_on() -> None:
    with pytest.raises(OSError, match="broken"), paused_collection():
        raise OSError("broken")
    assert gc.isenabled()
